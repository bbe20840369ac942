"""Bounds on a latent-variable model's log-likelihood, in nats.

The importance weight of an image is w = p(x | z) p(z) / q(z | x), with z drawn from q.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

_DRAWS = 200  # draws of samples in one call


def bernoulli_log_prob(x: jax.Array, logits: jax.Array) -> jax.Array:
    """log p(x) of binary pixels, summed over all axes of `x` except the first.

    Args:
      x: [batch, ...] float32. Zeros and ones.
      logits: [..., batch, ...] float32.

    Returns:
      [..., batch].
    """
    pixel_axes = tuple(range(1 - x.ndim, 0))
    x = jnp.expand_dims(x, tuple(range(logits.ndim - x.ndim)))
    # The terms are log sigmoid(l) if x is 1, and log(1 - sigmoid(l)) if x is 0.
    return jnp.sum(x * logits - jax.nn.softplus(logits), axis=pixel_axes)


def normal_log_prob(z: jax.Array, mean=0.0, log_std=0.0) -> jax.Array:
    """log N(z; mean, diag(exp(log_std))^2), summed over the last axis."""
    standard = (z - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * (standard**2 + jnp.log(2 * jnp.pi)) - log_std, axis=-1)


def kl_to_standard_normal(mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """KL(N(mean, diag(exp(log_std))^2) || N(0, 1)) of each dimension.

    Kingma and Welling (2014), appendix B, give the sum over dimensions.
    """
    return 0.5 * (mean**2 + jnp.exp(2 * log_std) - 1) - log_std


def importance_bound(log_weights: jax.Array) -> jax.Array:
    """log 1/k sum_i w_i (Burda et al. 2016, eq. 8).

    Args:
      log_weights: [k, batch] float32.

    Returns:
      [batch] float32. For k = 1 this is an estimate of the ELBO.
    """
    return jax.nn.logsumexp(log_weights, axis=0) - jnp.log(len(log_weights))


def log_likelihood(
    log_weights: Callable[[Any, jax.Array, jax.Array, int], jax.Array],
    params: Any,
    images: np.ndarray,
    key: jax.Array,
    samples: int,
    *,
    batch: int = 100,
    at_once: int = 50,
) -> np.ndarray:
    """Computes each image's importance bound from many samples, in little memory.

    Args:
      log_weights: (params, key, images [batch, ...], k) -> [k, batch]. A pure function.
      params: The model's parameters.
      images: [number, ...] float32.
      key: The key of the samples.
      samples: The number of samples for each image.
      batch: The number of images in one call.
      at_once: The largest number of samples of each image in memory at a time.

    Returns:
      [number] float32, nats.
    """
    at_once = max(n for n in range(1, at_once + 1) if samples % n == 0)
    starts = range(0, len(images), batch)
    keys = jax.random.split(key, len(starts))
    bounds = []
    for start, batch_key in zip(starts, keys, strict=True):
        part = images[start : start + batch]
        # Equal shapes need only one compiled program.
        padded = np.resize(part, (batch, *part.shape[1:]))
        bound = _bound(log_weights, samples, at_once, params, batch_key, padded)
        bounds.append(np.asarray(bound)[: len(part)])
    return np.concatenate(bounds)


def _bound(log_weights, samples, at_once, params, key, images):
    keys = jax.random.split(key, samples // at_once)
    total = jnp.full(len(images), -jnp.inf)
    for first in range(0, len(keys), _DRAWS):  # a signal can interrupt between calls
        part = keys[first : first + _DRAWS]
        total = _add(log_weights, at_once, params, part, images, total)
        jax.block_until_ready(total)
    return total - jnp.log(samples)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _add(log_weights, at_once, params, keys, images, total):
    def add(total, key):
        more = log_weights(params, key, images, at_once)
        return jnp.logaddexp(total, jax.nn.logsumexp(more, axis=0)), None

    return lax.scan(add, total, keys)[0]


def active_units(means: np.ndarray, threshold: float = 0.01) -> int:
    """The number of latent dimensions in use (Burda et al. 2016, section 5.2).

    Args:
      means: [images, latents] float32. Means of q(z | x).
      threshold: A dimension is in use if the variance of its mean over the images is
        above this threshold.
    """
    return int(np.sum(np.var(means, axis=0, dtype=np.float64) > threshold))
