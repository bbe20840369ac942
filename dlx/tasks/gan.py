"""Generative adversarial networks of images, with one discriminator or several.

A step is `d_steps` updates of the discriminators, each on real images of its own, and
then `g_steps` of the generator. Images are float32 in [-1, 1]. What is judged and shown
is an exponential moving average of the generator.
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import adversarial, generation, parallel
from dlx import figures as drawing
from dlx.data import augment, batches, sources
from dlx.errors import UserError, blame, require_one_of, require_positive
from dlx.models import dcgan
from dlx.task import Task

VIEWS = "same", "split", "projection"
AUGMENTATIONS = "translation", "cutout", "colour"


@struct.dataclass
class State:
    """What training changes.

    Attributes:
      step: [] int32.
      params: {'generator': its 'network' and 'strength', from which lambda is made
        where that is learnt; 'discriminators': theirs}.
      batch_stats: {'generator': running statistics, 'discriminators': of the spectral
        norms}.
      opt_state: {'generator': ..., 'discriminators': ...}.
      average: Of the generator's params and batch_stats.
    """

    step: jax.Array
    params: chex.ArrayTree
    batch_stats: chex.ArrayTree
    opt_state: chex.ArrayTree
    average: chex.ArrayTree


class Views:
    """What the discriminators get to see of a batch.

    Augmented (Zhao et al. 2020), with noise (Arjovsky and Bottou 2017, section 3),
    several images as the channels of one (Lin et al. 2018); and then each its own view.
    """

    def __init__(self, config, channels: int):
        """Args: a config as in configs/dcgan_digits.py, and the images' channels."""
        self._config = config
        self._number = len(config.d_channels)
        kernels = jax.random.key(0)
        self._kernels = jax.random.normal(
            kernels, (self._number, 4, 4, channels * config.packing, channels)
        )

    def __call__(self, key, images, labels, noise):
        """[batch, h, w, c], [batch] -> [discriminators, batch', ...], [..., batch']."""
        config = self._config
        shift_key, cut_key, colour_key, noise_key = jax.random.split(key, 4)
        if "colour" in config.diff_augment:
            images = augment.brightness(colour_key, images, 0.5)
        if "translation" in config.diff_augment:
            reach = max(1, images.shape[1] // 8)
            images = augment.shift(shift_key, images + 1, reach, "constant") - 1
        if "cutout" in config.diff_augment:
            images = augment.cutout(cut_key, images, 0.5)
        if config.instance_noise:
            images += noise * jax.random.normal(noise_key, images.shape)
        if config.packing > 1:
            images = jnp.stack(jnp.split(images, config.packing), axis=-1)
            images = images.reshape(*images.shape[:3], -1)
            labels = labels[: len(images)]
        if config.views == "split":
            shape = self._number, len(images) // self._number
            return (
                images.reshape(*shape, *images.shape[1:]),
                labels.reshape(shape),
            )
        images = jnp.broadcast_to(images[None], (self._number, *images.shape))
        labels = jnp.broadcast_to(labels[None], (self._number, *labels.shape))
        if config.views == "projection":
            images = jax.vmap(_project)(images, self._kernels)
        return images, labels


def _project(images, kernel):
    """A fixed random convolution that halves images (Albuquerque et al. 2019)."""
    kernel /= jnp.sqrt(jnp.sum(kernel**2, axis=(0, 1, 2), keepdims=True))
    dimensions = "NHWC", "HWIO", "NHWC"
    return lax.conv_general_dilated(
        images, kernel, (2, 2), "SAME", dimension_numbers=dimensions
    )


def require(config) -> None:
    """Raises a UserError where the config is none of a GAN."""
    require_one_of(config, "loss", tuple(adversarial.LOSSES))
    require_one_of(config, "mixing", adversarial.RULES)
    require_one_of(config, "views", VIEWS)
    require_positive(
        config, "d_steps", "g_steps", "packing", "latents", "eval_samples",
        "last_eval_samples",
    )  # fmt: skip
    if not config.d_channels or len(config.dropout) != len(config.d_channels):
        raise UserError(
            f"config.dropout={tuple(config.dropout)} and config.d_channels="
            f"{tuple(config.d_channels)} need an entry for each discriminator"
        )
    if set(config.diff_augment) - set(AUGMENTATIONS):
        raise UserError(
            f"config.diff_augment={tuple(config.diff_augment)}; there are: "
            f"{', '.join(AUGMENTATIONS)}"
        )
    if config.smoothing and not adversarial.LOSSES[config.loss].smooths:
        raise UserError(f"config.loss={config.loss} has no target to smooth")
    share = parallel.per_device("config.batch_size", config.batch_size)
    parts = config.packing * (len(config.d_channels) if config.views == "split" else 1)
    if share % parts:
        raise UserError(
            f"config.batch_size={config.batch_size}: a device's {share} images do not "
            f"divide into {parts} parts, for packing and views"
        )


def make_networks(config, shape, num_classes):
    """The generator and the discriminators; a UserError where they are none."""
    num_classes = num_classes if config.conditional else 0
    with blame("config"):
        generator = dcgan.make_generator(
            shape,
            channels=config.g_channels,
            num_classes=num_classes,
            axis_name=parallel.AXIS,
        )
        discriminators = dcgan.make_discriminators(
            channels=config.d_channels,
            kernel=config.d_kernel,
            norm=config.d_norm,
            minibatch_std=config.minibatch_std,
            num_classes=num_classes,
            axis_name=parallel.AXIS,
        )
    return generator, discriminators


def make_optimizers(config) -> dict[str, optax.GradientTransformation]:
    """Adam for either side, with its own rate (Heusel et al. 2017)."""

    def adam(rate, updates):
        if config.schedule == "cosine":
            rate = optax.cosine_decay_schedule(rate, config.num_steps * updates)
        return optax.adam(rate, config.adam_b1, config.adam_b2)

    require_one_of(config, "schedule", ("constant", "cosine"))
    return {
        "generator": adam(config.g_learning_rate, config.g_steps),
        "discriminators": adam(config.d_learning_rate, config.d_steps),
    }


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/dcgan_digits.py.

    Raises:
      UserError: where the data cannot be had or the config makes no game.
    """
    require(config)
    train, some = batches.of_images(config, at_once=config.d_steps)
    test = sources.load(
        config.dataset, "test", config.data_dir, config.manual_dir, config.image_size
    )
    num_classes = len(test.names)
    shape = test.images.shape[1:]
    generator, discriminators = make_networks(config, shape, num_classes)
    optimizers = make_optimizers(config)
    views = Views(config, shape[-1])
    loss = adversarial.LOSSES[config.loss]
    dropout = jnp.asarray(config.dropout, jnp.float32)

    def init(key):
        g_key, d_key, power_key = jax.random.split(key, 3)
        share = config.packing * len(config.d_channels)
        x, labels = jnp.zeros((share, *shape)), jnp.zeros(share, jnp.int32)
        z = jnp.zeros((share, config.latents))
        ours = generator.init(g_key, z, labels, train=False)
        seen = views(power_key, x, labels, 0.0)
        theirs = discriminators.init(d_key, *seen, dropout)
        params = {
            "generator": {"network": ours["params"], "strength": jnp.float32(1.0)},
            "discriminators": theirs["params"],
        }
        stats = {
            "generator": ours["batch_stats"],
            "discriminators": theirs.get("batch_stats", {}),
        }
        opt_state = {side: tx.init(params[side]) for side, tx in optimizers.items()}
        average = {"params": ours["params"], "batch_stats": ours["batch_stats"]}
        average = jax.tree.map(jnp.copy, average)
        return State(jnp.int32(0), params, stats, opt_state, average)

    def fakes(params, stats, key, labels):
        """Images, and the new running statistics."""
        z = jax.random.normal(key, (len(labels), config.latents))
        images, new = generator.apply(
            {"params": params["network"], "batch_stats": stats},
            z,
            labels,
            train=True,
            mutable=["batch_stats"],
        )
        return images, new["batch_stats"]

    def judge(params, stats, key, seen, labels):
        """Logits [discriminators, batch], and the new power iterations."""
        rngs = {"dropout": key} if any(config.dropout) else {}
        logits, new = discriminators.apply(
            {"params": params, "batch_stats": stats},
            seen,
            labels,
            dropout,
            rngs=rngs,
            mutable=["batch_stats"],
        )
        return logits, new.get("batch_stats", {})

    def discriminators_loss(params, stats, keys, real, fake, labels, noise):
        real, real_labels = views(keys[0], real, labels, noise)
        fake, fake_labels = views(keys[1], fake, labels, noise)
        real_logits, new = judge(params, stats, keys[2], real, real_labels)
        fake_logits, _ = judge(params, stats, keys[3], fake, fake_labels)
        losses = loss.discriminator(real_logits, fake_logits, config.smoothing)
        total = jnp.sum(jnp.mean(losses, axis=1))  # each has its own gradient
        for strength, images, named in (
            (config.r1, real, real_labels),
            (config.r2, fake, fake_labels),
        ):
            if strength:
                total += strength * adversarial.gradient_penalty(
                    lambda x, named=named: judge(params, stats, keys[4], x, named)[0],
                    images,
                )
        right = loss.accuracy(real_logits, fake_logits)
        numbers = {
            "loss": jnp.mean(losses),
            "accuracy_real": right[0],
            "accuracy_fake": right[1],
        }
        return total, (new, numbers)

    def generator_loss(params, state, keys, real, labels, noise):
        fake, stats = fakes(params, state.batch_stats["generator"], keys[0], labels)
        theirs = state.params["discriminators"], state.batch_stats["discriminators"]
        real_logits, _ = judge(*theirs, keys[1], *views(keys[2], real, labels, noise))
        fake_logits, _ = judge(*theirs, keys[3], *views(keys[4], fake, labels, noise))
        losses = jnp.mean(loss.generator(real_logits, fake_logits), axis=1)
        strength = jnp.float32(config.mixing_strength)
        if config.mixing == "learnt":
            strength = jax.nn.softplus(params["strength"])
        # Over the devices' whole batch, which is what the rules are about.
        losses = lax.pmean(losses, parallel.AXIS)
        total = adversarial.mix(losses, config.mixing, strength)
        half = len(fake) // 2
        apart = jnp.mean((fake[:half] - fake[half : 2 * half]) ** 2)
        return total, (stats, {"g_loss": total, "distance": jnp.sqrt(apart) / 2})

    def update(state, side, grads, stats):
        grads = lax.pmean(grads, parallel.AXIS)
        updates, opt_state = optimizers[side].update(grads, state.opt_state[side])
        params = optax.apply_updates(state.params[side], updates)
        return state.replace(
            params=state.params | {side: params},
            batch_stats=state.batch_stats | {side: stats},
            opt_state=state.opt_state | {side: opt_state},
        )

    def noise_at(step):
        """Falls to none over the run."""
        return config.instance_noise * (1 - step / config.num_steps)

    def discriminate(state, inputs):
        key, real, labels = inputs
        fake_key, *keys = jax.random.split(key, 6)
        ours = state.params["generator"], state.batch_stats["generator"]
        fake, _ = fakes(*ours, fake_key, labels)
        grads, (stats, numbers) = jax.grad(discriminators_loss, has_aux=True)(
            state.params["discriminators"],
            state.batch_stats["discriminators"],
            keys,
            real,
            fake,
            labels,
            noise_at(state.step),
        )
        return update(state, "discriminators", grads, stats), numbers

    def generate(state, inputs):
        key, real, labels = inputs
        grads, (stats, numbers) = jax.grad(generator_loss, has_aux=True)(
            state.params["generator"],
            state,
            jax.random.split(key, 5),
            real,
            labels,
            noise_at(state.step),
        )
        return update(state, "generator", grads, stats), numbers

    def step(state, batch, key):
        d_key, g_key = jax.random.split(key)
        images = batch["images"].astype(jnp.float32) / 127.5 - 1
        parts = [
            x.reshape(config.d_steps, -1, *x.shape[1:])
            for x in (images, batch["labels"])
        ]
        d_keys = jax.random.split(d_key, config.d_steps)
        state, d_numbers = lax.scan(discriminate, state, (d_keys, *parts))
        real, labels = (part[-1] for part in parts)

        def once_more(state, key):
            return generate(state, (key, real, labels))

        g_keys = jax.random.split(g_key, config.g_steps)
        state, g_numbers = lax.scan(once_more, state, g_keys)
        now = {
            "params": state.params["generator"]["network"],
            "batch_stats": state.batch_stats["generator"],
        }
        # As if it had begun at the first step, not at the first weights.
        decay = jnp.minimum(config.ema_decay, state.step / (state.step + 10.0))
        average = optax.incremental_update(now, state.average, 1.0 - decay)
        numbers = jax.tree.map(jnp.mean, d_numbers | g_numbers)
        numbers["l2_params"] = optax.tree.norm(state.params)
        return state.replace(step=state.step + 1, average=average), numbers

    measures = generation.Measures(config, some, test)
    evaluate, figures, frames = _shown(config, generator, measures, some, num_classes)
    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        frames=frames,
        metric=measures.metric,
        counts={"examples": config.batch_size * config.d_steps},
        batches=train,
    )


def _shown(config, generator, measures, real, num_classes):
    @jax.jit
    def generate(state, z, labels):
        return generator.apply(state.average, z, labels, train=False)

    size = config.latents, num_classes

    def evaluate(state, key):
        last = state.step == config.num_steps
        number = config.last_eval_samples if last else config.eval_samples
        images = generation.sample(generate, state, key, number, *size)
        numbers = measures(images, int(state.step))
        return {name: jnp.float32(number) for name, number in numbers.items()}

    def figures(state, key):
        return generation.draw(generate, state, key, real, *size)

    def frames(state, key):
        images = generation.sample(generate, state, key, 64, *size)
        return {"training": drawing.sheet(images, 8)}

    return evaluate, figures, frames
