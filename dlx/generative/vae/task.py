"""Variational autoencoders of images whose pixels are bits, and importance weights.

Pixels are drawn anew at every step, a pixel's grey being the probability of a 1
(dynamic binarisation; Burda et al. 2016, section 5.1).
"""

from collections.abc import Sequence
import itertools

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx import figures as drawing
from dlx import streams
from dlx.data import batches, sources
from dlx.errors import (
    require_at_least_0,
    require_one_of,
    require_positive,
    user_error_in,
)
from dlx.generative import interpolation
from dlx.generative.measures import likelihood
from dlx.generative.vae import networks
from dlx.runtime import devices
from dlx.runtime.task import Task


@struct.dataclass
class State:
    """What training changes.

    Attributes:
      step: [] int32.
      params: The network's.
      opt_state: The optimiser's.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree


def bits(key: jax.Array, images: jax.Array) -> jax.Array:
    """Draws [...] uint8 greys as [...] float32 zeros and ones."""
    return jax.random.bernoulli(key, images / 255.0).astype(jnp.float32)


class Model:
    """The network's distributions, for whoever has parameters of it.

    Attributes:
      network: The module.
    """

    def __init__(self, network: networks.VAE):
        self.network = network

    def encode(self, params, x):
        """Bits or greys in [0, 1] -> mean and log deviation of z, [batch, latents]."""
        return self.network.apply({"params": params}, x, method="encode")

    def decode(self, params, z):
        """[..., latents] -> logits [..., height, width, channels]."""
        return self.network.apply({"params": params}, z, method="decode")

    def terms(self, params, key, x, samples):
        """What all bounds are made of.

        Args:
          params: The network's.
          key: Of the samples.
          x: [batch, height, width, channels], bits.
          samples: k.

        Returns:
          log p(x | z), log p(z) - log q(z | x), [k, batch] each, and the mean and log
          deviation of q, [batch, latents] each.
        """
        mean, log_std = self.encode(params, x)
        noise = jax.random.normal(key, (samples, *mean.shape))
        mean_k, log_std_k = mean[None], log_std[None]
        z = mean_k + jnp.exp(log_std_k) * noise
        fit = likelihood.bernoulli_log_prob(x, self.decode(params, z))
        prior = likelihood.normal_log_prob(z)
        posterior = likelihood.normal_log_prob(z, mean_k, log_std_k)
        return fit, prior - posterior, mean, log_std


def load(config) -> tuple[batches.Batches, sources.Images, Model]:
    """The training batches, the test split, and the model that the config describes."""
    train, some = batches.of_images(config)
    test = sources.load(config.dataset, "test", config.data_dir, config.manual_dir)
    with user_error_in("config"):
        network = networks.make(
            test.images.shape[1:],
            latents=config.latents,
            features=config.features,
            gated=config.gated,
            channels=config.channels,
            pixel_means=np.mean(some, axis=0) / 255,
        )
    return train, test, Model(network)


class Codec:
    """Images to latent vectors and back, of a trained run.

    Attributes:
      test: The test split.
      latents: How long a vector is.
    """

    def __init__(self, config, state: State):
        """A UserError where the data cannot be had."""
        _, self.test, self._model = load(config)
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


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/vae_mnist.py.

    Raises:
      UserError: where the data cannot be had or the config makes no network.
    """
    require_one_of(config, "objective", ("vae", "iwae"))
    require_positive(config, "samples", "eval_samples", "last_eval_samples")
    require_at_least_0(config, "warmup_steps")
    train, test, model = load(config)
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.num_steps)
    tx = optax.adam(schedule, eps=config.adam_epsilon)

    def init(key):
        x = jnp.zeros((1, *test.images.shape[1:]))
        params = model.network.init(key, x)["params"]
        return State(jnp.int32(0), params, tx.init(params))

    def loss(params, key, x, beta):
        fit, ratio, mean, log_std = model.terms(params, key, x, config.samples)
        if config.objective == "iwae":
            return -jnp.mean(likelihood.importance_bound(fit + beta * ratio))
        kl = jnp.mean(likelihood.kl_to_standard_normal(mean, log_std), axis=0)
        kl = lax.pmean(kl, devices.AXIS)  # what is free is so on a whole batch
        kl = jnp.sum(jnp.maximum(kl, config.free_bits))
        return beta * kl - jnp.mean(fit)

    def step(state, batch, key):
        bits_key, noise_key = jax.random.split(key)
        x = bits(bits_key, batch["images"])
        warm = (state.step + 1) / max(1, config.warmup_steps)
        beta = jnp.minimum(1.0, warm)
        total, grads = jax.value_and_grad(loss)(state.params, noise_key, x, beta)
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state)
        params = optax.apply_updates(state.params, updates)
        return State(state.step + 1, params, opt_state), {
            "loss": total,
            "beta": beta,
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
        }

    evaluate = _evaluation(config, test, model)
    figures, frames = _figures(test, model)
    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        frames=frames,
        metric="log_likelihood",
        counts={"examples": config.batch_size},
        batches=train,
    )


def _evaluation(config, test, model):
    # The same bits at every evaluation of every run, so that numbers compare.
    x = np.asarray(bits(streams.key(0, "bits"), jnp.asarray(test.images)))

    @jax.jit
    def terms(params, key, x):
        fit, _, mean, log_std = model.terms(params, key, x, 1)
        kl = jnp.sum(likelihood.kl_to_standard_normal(mean, log_std), axis=-1)
        return fit[0], kl, mean

    def log_weights(params, key, x, samples):
        fit, ratio, _, _ = model.terms(params, key, x, samples)
        return fit + ratio

    def bound(state, key, samples):
        bounds = likelihood.log_likelihood(log_weights, state.params, x, key, samples)
        mean = np.mean(bounds, dtype=np.float64)
        return {"log_likelihood": mean, "nll": -mean, "samples": samples}

    def evaluate(state, key):
        elbo_key, key, last_key = jax.random.split(key, 3)
        fit, kl, mean = jax.device_get(terms(state.params, elbo_key, x))
        numbers = bound(state, key, config.eval_samples) | {
            "elbo": np.mean(fit - kl),
            "reconstruction": np.mean(fit),
            "kl": np.mean(kl),
            "active_units": likelihood.active_units(mean),
        }
        if state.step == config.num_steps:
            last = bound(state, last_key, config.last_eval_samples)
            numbers |= {f"last_{name}": number for name, number in last.items()}
        return {name: jnp.float32(number) for name, number in numbers.items()}

    return evaluate


def _figures(test, model):
    greys = jnp.asarray(test.images / 255.0, jnp.float32)
    encode = jax.jit(model.encode)
    decode = jax.jit(lambda params, z: jax.nn.sigmoid(model.decode(params, z)))

    def draw(params, z, columns, **options):
        pixels = np.asarray(decode(params, z)).reshape(-1, *test.images.shape[1:])
        return drawing.sheet(_bytes(pixels), columns, **options)

    def samples(state, key):
        z = jax.random.normal(key, (64, model.network.latents))
        return draw(state.params, z, 8)

    def figures(state, key):
        params = state.params
        means = encode(params, greys)[0]
        some = slice(0, 16)
        both = [test.images[some], _bytes(np.asarray(decode(params, means[some])))]
        pictures = {
            "reconstructions": drawing.sheet(np.concatenate(both), 16),
            "samples": samples(state, key),
        }
        first = [int(np.argmax(test.labels == n)) for n in range(len(test.names))]
        weights = jnp.linspace(0, 1, 11)
        blends = [
            interpolation.linear(means[a], means[b], weights)
            for a, b in itertools.combinations(first[:10], 2)
        ]
        pictures["blends"] = draw(params, jnp.stack(blends), 33, height=28)
        if model.network.latents == 2:
            pictures["latent_map"] = _latent_map(params, means, test, draw)
        return pictures

    def frames(state, key):
        return {"training": samples(state, key)}

    return figures, frames


def _latent_map(params, means, test, draw, side=20):
    """What each point of the plane decodes to, beside where the test images lie."""
    # Through the normal distribution's quantiles, so that all cells are as probable.
    steps = jax.scipy.stats.norm.ppf((jnp.arange(side) + 0.5) / side)
    x, y = jnp.meshgrid(steps, -steps)
    decoded = draw(params, jnp.stack([x, y], axis=-1).reshape(-1, 2), side, height=28)
    points = drawing.scatter(np.asarray(means), test.labels, test.names, len(decoded))
    return np.concatenate([decoded, points], axis=1)


def _bytes(probabilities):
    return np.uint8(np.round(255 * probabilities))
