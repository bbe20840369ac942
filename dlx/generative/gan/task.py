"""Generative adversarial networks, with one discriminator or several.

Of pictures; or of sounds and texts, which are images 1 wide. A step is `d_steps`
updates of the discriminators, each on real images of its own, and then `g_steps` of the
generator. What is judged and shown is a moving average of the generator.
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx.errors import UserError, require_one_of, require_positive, user_error_in
from dlx.generative import interpolation, modalities
from dlx.generative.gan import inputs as views
from dlx.generative.gan import losses as adversarial
from dlx.generative.gan import networks
from dlx.optimizers import moving_average
from dlx.runtime import devices
from dlx.runtime.task import Task

_AT_ONCE = 500  # samples in one call of the generator


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


def require(config) -> None:
    """Raises a UserError where the config is none of a GAN."""
    require_one_of(config, "loss", tuple(adversarial.LOSSES))
    require_one_of(config, "mixing", adversarial.RULES)
    require_one_of(config, "views", views.KINDS)
    require_positive(
        config, "d_steps", "g_steps", "packing", "latents", "eval_samples",
        "last_eval_samples",
    )  # fmt: skip
    if not config.d_channels or len(config.dropout) != len(config.d_channels):
        raise UserError(
            f"config.dropout={tuple(config.dropout)} and config.d_channels="
            f"{tuple(config.d_channels)} need an entry for each discriminator"
        )
    if set(config.diff_augment) - set(views.AUGMENTATIONS):
        raise UserError(
            f"config.diff_augment={tuple(config.diff_augment)}; there are: "
            f"{', '.join(views.AUGMENTATIONS)}"
        )
    if config.packing > 1 and config.conditional:
        raise UserError("config.packing: several images as one have no one class")
    if config.smoothing and not adversarial.LOSSES[config.loss].smooths:
        raise UserError(f"config.loss={config.loss} has no target to smooth")
    share = devices.per_device("config.batch_size", config.batch_size)
    parts = config.packing * (len(config.d_channels) if config.views == "split" else 1)
    if share % parts:
        raise UserError(
            f"config.batch_size={config.batch_size}: a device's {share} images do not "
            f"divide into {parts} parts, for packing and views"
        )


def make_networks(config, kind: modalities.Kind):
    """The generator and the discriminators; a UserError where they are none."""
    num_classes = kind.num_classes if config.conditional else 0
    with user_error_in("config"):
        generator = networks.make_generator(
            kind.shape,
            channels=config.g_channels,
            kernel=config.g_kernel,
            factor=config.factor,
            output=kind.output,
            temperature=config.temperature,
            num_classes=num_classes,
            axis_name=devices.AXIS,
        )
        discriminators = networks.make_discriminators(
            channels=config.d_channels,
            kernel=config.d_kernel,
            factor=config.factor,
            features=config.d_features,
            norm=config.d_norm,
            minibatch_std=config.minibatch_std,
            num_classes=num_classes,
            axis_name=devices.AXIS,
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


class Game:
    """Both networks, and what each side makes small.

    `params` and `stats` are those of State, of one side or of both.
    """

    def __init__(self, config, kind: modalities.Kind):
        """A UserError where the config makes no networks."""
        self.generator, self.discriminators = make_networks(config, kind)
        self._config = config
        self._loss = adversarial.LOSSES[config.loss]
        self._views = views.Views(config, kind.shape[-1])
        self._dropout = jnp.asarray(config.dropout, jnp.float32)
        self._shape = kind.shape

    def init(self, key):
        """First params and stats of both sides."""
        g_key, d_key, view_key = jax.random.split(key, 3)
        batch = self._config.packing * len(self._config.d_channels)
        x, labels = jnp.zeros((batch, *self._shape)), jnp.zeros(batch, jnp.int32)
        z = jnp.zeros((batch, self._config.latents))
        ours = self.generator.init(g_key, z, labels, train=False)
        seen = self._views(view_key, x, labels, 0.0)
        theirs = self.discriminators.init(d_key, *seen, self._dropout)
        strength = jnp.float32(1.0)
        params = {
            "generator": {"network": ours["params"], "strength": strength},
            "discriminators": theirs["params"],
        }
        stats = {
            "generator": ours["batch_stats"],
            "discriminators": theirs.get("batch_stats", {}),
        }
        return params, stats

    def fakes(self, params, stats, key, labels):
        """Images, and the new running statistics."""
        z_key, gumbel_key = jax.random.split(key)
        images, new = self.generator.apply(
            {"params": params["network"], "batch_stats": stats},
            jax.random.normal(z_key, (len(labels), self._config.latents)),
            labels,
            train=True,
            rngs={"gumbel": gumbel_key},
            mutable=["batch_stats"],
        )
        return images, new["batch_stats"]

    def judge(self, params, stats, key, seen, labels):
        """Logits [discriminators, batch], and the new spectral norms."""
        logits, new = self.discriminators.apply(
            {"params": params, "batch_stats": stats},
            seen,
            labels,
            self._dropout,
            rngs={"dropout": key} if any(self._config.dropout) else {},
            mutable=["batch_stats"],
        )
        return logits, new.get("batch_stats", {})

    def discriminators_loss(self, params, stats, key, real, fake, labels, noise):
        """Their sum, for each has its own gradient; the new stats, and metrics."""
        keys = jax.random.split(key, 6)
        real, real_labels = self._views(keys[0], real, labels, noise)
        fake, fake_labels = self._views(keys[1], fake, labels, noise)
        real_logits, new = self.judge(params, stats, keys[2], real, real_labels)
        fake_logits, _ = self.judge(params, stats, keys[3], fake, fake_labels)
        losses = self._loss.discriminator(
            real_logits, fake_logits, self._config.smoothing
        )
        total = jnp.sum(jnp.mean(losses, axis=1))

        def penalty(key, seen, labels):
            def logits(x):
                return self.judge(params, stats, key, x, labels)[0]

            return adversarial.gradient_penalty(logits, seen)

        if self._config.r1:
            total += self._config.r1 * penalty(keys[4], real, real_labels)
        if self._config.r2:
            total += self._config.r2 * penalty(keys[5], fake, fake_labels)
        right = self._loss.accuracy(real_logits, fake_logits)
        numbers = {
            "loss": jnp.mean(losses),
            "accuracy_real": right[0],
            "accuracy_fake": right[1],
        }
        return total, (new, numbers)

    def generator_loss(self, params, stats, theirs, key, real, labels, noise):
        """What the discriminators' opinions make together; new stats, and metrics.

        Args:
          params: The generator's.
          stats: Of both sides.
          theirs: The discriminators' params.
          key: Of latents, views and dropout.
          real: [batch, ...], for losses that compare.
          labels: [batch] integers, of those and of what is made.
          noise: [] float32, its deviation in the views.
        """
        keys = jax.random.split(key, 5)
        fake, new = self.fakes(params, stats["generator"], keys[0], labels)
        theirs = theirs, stats["discriminators"]
        seen = self._views(keys[1], real, labels, noise)
        real_logits, _ = self.judge(*theirs, keys[2], *seen)
        seen = self._views(keys[3], fake, labels, noise)
        fake_logits, _ = self.judge(*theirs, keys[4], *seen)
        losses = jnp.mean(self._loss.generator(real_logits, fake_logits), axis=1)
        # Over all devices, for the rules are about the losses on a whole batch.
        losses = lax.pmean(losses, devices.AXIS)
        strength = jnp.float32(self._config.mixing_strength)
        if self._config.mixing == "learnt":
            strength = jax.nn.softplus(params["strength"])
        total = adversarial.mix(losses, self._config.mixing, strength)
        half = len(fake) // 2
        apart = jnp.mean((fake[:half] - fake[half : 2 * half]) ** 2)
        return total, (new, {"g_loss": total, "distance": jnp.sqrt(apart) / 2})


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/dcgan_digits.py.

    Raises:
      UserError: where the data cannot be had or the config makes no game.
    """
    require(config)
    kind = modalities.load(config)
    game, optimizers = Game(config, kind), make_optimizers(config)

    def init(key):
        params, stats = game.init(key)
        opt_state = {side: tx.init(params[side]) for side, tx in optimizers.items()}
        average = jax.tree.map(jnp.copy, _judged(params, stats))
        return State(jnp.int32(0), params, stats, opt_state, average)

    def update(state, side, grads, stats):
        grads = lax.pmean(grads, devices.AXIS)
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
        fake_key, loss_key = jax.random.split(key)
        ours = state.params["generator"], state.batch_stats["generator"]
        fake, _ = game.fakes(*ours, fake_key, labels)
        theirs = state.params["discriminators"], state.batch_stats["discriminators"]
        loss = jax.grad(game.discriminators_loss, has_aux=True)
        noise = noise_at(state.step)
        grads, (stats, numbers) = loss(*theirs, loss_key, real, fake, labels, noise)
        return update(state, "discriminators", grads, stats), numbers

    def generate(state, key, real, labels):
        grads, (stats, numbers) = jax.grad(game.generator_loss, has_aux=True)(
            state.params["generator"],
            state.batch_stats,
            state.params["discriminators"],
            key,
            real,
            labels,
            noise_at(state.step),
        )
        return update(state, "generator", grads, stats), numbers

    def step(state, batch, key):
        d_key, g_key = jax.random.split(key)
        parts = [
            x.reshape(config.d_steps, -1, *x.shape[1:])
            for x in (kind.units(batch), batch["labels"])
        ]
        d_keys = jax.random.split(d_key, config.d_steps)
        state, d_numbers = lax.scan(discriminate, state, (d_keys, *parts))
        real, labels = (part[-1] for part in parts)
        g_keys = jax.random.split(g_key, config.g_steps)
        state, g_numbers = lax.scan(
            lambda state, key: generate(state, key, real, labels), state, g_keys
        )
        now = _judged(state.params, state.batch_stats)
        average = moving_average(now, state.average, config.ema_decay, state.step)
        numbers = jax.tree.map(jnp.mean, d_numbers | g_numbers)
        numbers["l2_params"] = optax.tree.norm(state.params)
        return state.replace(step=state.step + 1, average=average), numbers

    evaluate, figures, frames = _shown(config, Sampler(config, kind, game.generator))
    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        frames=frames,
        metric=kind.metric,
        counts={"examples": config.batch_size * config.d_steps},
        batches=kind.batches,
        about=kind.about,
    )


def _judged(params, stats):
    """What makes samples: the generator's variables."""
    return {
        "params": params["generator"]["network"],
        "batch_stats": stats["generator"],
    }


class Sampler:
    """What a trained generator makes: its moving average.

    Attributes:
      kind: Of data.
    """

    def __init__(self, config, kind: modalities.Kind, generator):
        self.kind, self._latents = kind, config.latents

        @jax.jit
        def generate(average, z, labels, key):
            rngs = {"gumbel": key}
            return generator.apply(average, z, labels, train=False, rngs=rngs)

        self._generate = generate

    def some(self, state: State, key: jax.Array, number: int) -> np.ndarray:
        """Samples, [number, height, width, channels] float32, a few at a time."""
        at_once = min(_AT_ONCE, number)
        parts = []
        for part_key in jax.random.split(key, -(-number // at_once)):
            z_key, label_key, gumbel_key = jax.random.split(part_key, 3)
            z = jax.random.normal(z_key, (at_once, self._latents))
            labels = self._labels(label_key, at_once)
            made = self._generate(state.average, z, labels, gumbel_key)
            parts.append(np.asarray(made))
        return np.concatenate(parts)[:number]

    def between(self, state: State, key: jax.Array, ways: int, steps: int):
        """From one latent vector to another: [ways * steps, ...] float32."""
        ends_key, label_key, gumbel_key = jax.random.split(key, 3)
        ends = jax.random.normal(ends_key, (2, ways, self._latents))
        way = jax.vmap(interpolation.spherical, in_axes=(0, 0, None))
        z = way(*ends, jnp.linspace(0, 1, steps)).reshape(-1, self._latents)
        labels = self._labels(label_key, ways).repeat(steps)
        return np.asarray(self._generate(state.average, z, labels, gumbel_key))

    def _labels(self, key, number):
        return jax.random.randint(key, (number,), 0, self.kind.num_classes)


def sampler(config) -> Sampler:
    """Of a run with this config; a UserError where its data cannot be had."""
    kind = modalities.load(config)
    return Sampler(config, kind, make_networks(config, kind)[0])


def _shown(config, samples):
    kind = samples.kind

    def evaluate(state, key):
        step, (key, last_key) = int(state.step), jax.random.split(key)
        some = samples.some(state, key, config.eval_samples)
        numbers = kind.measure(some, step)
        if step == config.num_steps:
            some = samples.some(state, last_key, config.last_eval_samples)
            last = kind.measure(some, step)
            numbers |= {f"last_{name}": number for name, number in last.items()}
        return {name: jnp.float32(number) for name, number in numbers.items()}

    def figures(state, key):
        sheet_key, between_key = jax.random.split(key)
        some = samples.some(state, sheet_key, 64)
        pictures = {
            "sheet": kind.show(some, 8),
            "interpolation": kind.show(samples.between(state, between_key, 8, 12), 12),
        }
        return pictures | kind.figures(some)

    def frames(state, key):
        return {"training": kind.show(samples.some(state, key, 64), 8)}

    return evaluate, figures, frames
