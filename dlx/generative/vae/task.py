"""Variational and importance-weighted autoencoders of binary images.

Binary pixels are drawn at every step, with probabilities equal to their grey values
(dynamic binarisation; Burda et al. 2016, section 5.1).
"""

from collections.abc import Sequence

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx import choices, fields, gradients, optimizers, streams
from dlx.data import splits
from dlx.errors import UserError, user_error_in
from dlx.generative import modalities, sampling
from dlx.generative.measures import likelihood
from dlx.generative.vae import networks
from dlx.generative.vae.figures import make_figures
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task

_SAMPLES = 10_000  # that the last evaluation draws and measures
FIELDS = modalities.FIELDS | {
    "latents": fields.integer(),
    "features": fields.row(fields.integer()),
    "channels": fields.row(fields.integer()),
    "gated": fields.flag(),
    "dtype": fields.choice("float32", "bfloat16"),
    "objective": fields.choice("vae", "iwae"),
    "samples": fields.integer(),
    "accumulate": fields.integer(),
    "free_bits": fields.real(0),
    "warmup_steps": fields.integer(0),
    "optimizer": choices.FIELD,
    "learning_rate": fields.real(above=0),
    "adam_epsilon": fields.real(above=0),
    "eval_samples": fields.integer(),  # importance samples of each image
    "last_eval_samples": fields.integer(),
}


@struct.dataclass
class State:
    """The state of training.

    Attributes:
      step: [] int32. The number of steps trained.
      params: The network's parameters.
      opt_state: The optimiser's state.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree


def bits(key: jax.Array, images: jax.Array) -> jax.Array:
    """Draws binary pixels, [...] float32, from [...] uint8 greys.

    A pixel is 1 with the probability grey / 255, to within 2^-16: each of JAX's random
    words decides two pixels, because drawing them takes a tenth of a training step.
    """
    greys = jnp.pad(images.reshape(-1), (0, images.size % 2)).reshape(2, -1)
    words = jax.random.bits(key, greys.shape[1:])
    draws = jnp.stack([words >> 16, words & 0xFFFF]).astype(jnp.int32)
    drawn = draws * 255 < greys.astype(jnp.int32) << 16
    return drawn.reshape(-1)[: images.size].reshape(images.shape).astype(jnp.float32)


def load(config) -> tuple[modalities.Images, networks.Model]:
    """Returns the images, and the model of the config."""
    modality = modalities.Images(config)
    with user_error_in("config"):
        network = networks.make(
            modality.shape,
            latents=config.latents,
            features=config.features,
            gated=config.gated,
            channels=config.channels,
            dtype=jnp.dtype(config.get("dtype", "float32")),
            pixel_means=np.mean(modality.real, axis=0) / 255,
        )
    return modality, networks.Model(network)


def make_sampler(modality: modalities.Images, model: networks.Model):
    """Returns a `sampling.Sampler` of the pixels' probabilities."""

    @jax.jit
    def generate(params, z):
        return 2 * jax.nn.sigmoid(model.decode(params, z)) - 1

    return sampling.Sampler(
        modality,
        lambda state, z, labels, key: generate(state.params, z),
        model.network.latents,
    )


def sampler(config) -> sampling.Sampler:
    """Returns the sampler of a run. Raises UserError if its data are missing."""
    return make_sampler(*load(config))


class Codec:
    """Encodes images to latent vectors and decodes them, with a trained run.

    Attributes:
      test: The test split.
      latents: The number of latent dimensions.
    """

    def __init__(self, config, state: State):
        """Loads data and model. Raises UserError if the data are missing."""
        modality, self._model = load(config)
        self.test = modality.test
        self._params = state.params
        self.latents = self._model.network.latents

    def encode(self, images: Sequence[np.ndarray]) -> jax.Array:
        """[height, width, channels] uint8 each -> means [number, latents] float32."""
        greys = jnp.asarray(np.stack(images), jnp.float32) / 255
        return self._model.encode(self._params, greys)[0]

    def decode(self, z: jax.Array) -> np.ndarray:
        """[..., latents] -> [..., height, width, channels] uint8."""
        pixels = jax.nn.sigmoid(self._model.decode(self._params, z))
        return np.uint8(np.round(255 * np.asarray(pixels)))


def make_loss(config, model: networks.Model):
    """Returns the loss: (params, x, noise, beta, the weight of the KL) -> []."""

    def loss(params, x, noise, beta):
        fit, ratio, mean, log_std = model.terms(params, x, noise)
        if config.objective == "iwae":
            return -jnp.mean(likelihood.importance_bound(fit + beta * ratio))
        kl = jnp.mean(likelihood.kl_to_standard_normal(mean, log_std), axis=0)
        kl = lax.pmean(kl, devices.AXIS)  # free bits apply to the whole batch's mean
        kl = jnp.sum(jnp.maximum(kl, config.free_bits))
        return beta * kl - jnp.mean(fit)

    return loss


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/vae_mnist.py.

    Raises:
      UserError: if the config is invalid or the data are missing.
    """
    modality, model = load(config)
    test = modality.test
    loss = make_loss(config, model)
    micro_batches = devices.micro_batches(config)
    if micro_batches > 1 and config.free_bits:
        raise UserError(
            f"config.accumulate={micro_batches} needs config.free_bits=0, because free "
            "bits apply to the mean of a whole batch"
        )
    tx = optimizers.make(
        config.get("optimizer", "adam"),
        config.num_steps,
        learning_rate=config.learning_rate,
        schedule="cosine",
        eps=config.adam_epsilon,
    )

    def init(key):
        x = jnp.zeros((1, *test.images.shape[1:]))
        params = model.network.init(key, x)["params"]
        return State(jnp.int32(0), params, tx.init(params))

    def step(state, batch, key):
        bits_key, noise_key = jax.random.split(key)
        x = bits(bits_key, batch["images"])
        warm = (state.step + 1) / max(1, config.warmup_steps)
        beta = jnp.minimum(1.0, warm)
        noise = model.noise(noise_key, len(x), config.samples)

        def mean_loss(params, inputs, key):
            del key
            x, noise = inputs
            return loss(params, x, jnp.swapaxes(noise, 0, 1), beta), ()

        gradient = gradients.value_and_grad(mean_loss, micro_batches)
        inputs = x, jnp.swapaxes(noise, 0, 1)
        (total, _), grads = gradient(state.params, inputs, key)
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(state.step + 1, params, opt_state), {
            "loss": total,
            "beta": beta,
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
        }

    figures, frames = make_figures(test, model)
    return Task(
        init=init,
        step=step,
        evaluate=make_evaluate(config, modality, model),
        figures=figures,
        frames=frames,
        metric="log_likelihood",
        selects=splits.selects(config),
        counts={"examples": config.batch_size},
        batches=modality.batches,
        about=modality.about,
    )


def make_evaluate(config, modality: modalities.Images, model: networks.Model):
    """Returns the task's `evaluate`: bounds on the test split's log-likelihood.

    With `config.reference_classifier` the last evaluation measures samples as those of
    GANs and flows are measured.
    """
    samples = make_sampler(modality, model)
    # Every evaluation of every run uses the same bits, which makes numbers comparable.
    x = np.asarray(bits(streams.key(0, "bits"), jnp.asarray(modality.test.images)))

    @jax.jit
    def terms(params, key, x):
        fit, _, mean, log_std = model.terms(params, x, model.noise(key, len(x), 1))
        kl = jnp.sum(likelihood.kl_to_standard_normal(mean, log_std), axis=-1)
        return fit[0], kl, mean

    def log_weights(params, key, x, samples):
        noise = model.noise(key, len(x), samples)
        fit, ratio, _, _ = model.terms(params, x, noise)
        return fit + ratio

    def measured(state, key):
        """Measures of samples, once the training has ended."""
        step = int(state.step)
        if step < config.num_steps or not config.get("reference_classifier"):
            return {}
        numbers = modality.measure(samples.samples(state, key, _SAMPLES), step)
        del numbers["samples"]  # importance samples have this name
        return {f"last_{name}": jnp.float32(x) for name, x in numbers.items()}

    def evaluate(state, key):
        elbo_key, *keys, samples_key = jax.random.split(key, 4)
        fit, kl, mean = jax.device_get(terms(state.params, elbo_key, x))

        def bound(key, samples):
            bounds = likelihood.log_likelihood(
                log_weights, state.params, x, key, samples
            )
            mean = np.mean(bounds, dtype=np.float64)
            return {"log_likelihood": mean, "nll": -mean, "samples": samples}

        return sampling.evaluate(config, int(state.step), bound, keys) | {
            "elbo": jnp.float32(np.mean(fit - kl)),
            "reconstruction": jnp.float32(np.mean(fit)),
            "kl": jnp.float32(np.mean(kl)),
            "active_units": jnp.float32(likelihood.active_units(mean)),
            **measured(state, samples_key),
        }

    return evaluate


abilities = Abilities(encode=Codec, sample=sampler)
