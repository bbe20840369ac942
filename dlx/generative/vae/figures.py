"""Figures of variational autoencoders."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures as drawing
from dlx.data import sources
from dlx.generative import interpolation, sampling
from dlx.generative.vae.networks import Model


def make_figures(test: sources.Images, model: Model):
    """Returns the task's `figures` and `frames`."""
    greys = jnp.asarray(test.images / 255.0, jnp.float32)
    encode = jax.jit(model.encode)
    decode = jax.jit(lambda params, z: jax.nn.sigmoid(model.decode(params, z)))

    def draw(params, z, columns, **options):
        pixels = np.asarray(decode(params, z)).reshape(-1, *test.images.shape[1:])
        return drawing.sheet(_bytes(pixels), columns, **options)

    def samples(state, key):
        z = jax.random.normal(key, (sampling.SHEET, model.network.latents))
        return draw(state.params, z, sampling.COLUMNS)

    def blends(params, means):
        """Interpolates between the first test images of each pair of ten classes."""
        first = [int(np.argmax(test.labels == n)) for n in range(len(test.names))]
        pairs = np.array(list(itertools.combinations(first[:10], 2)))
        ends = means[pairs[:, 0]], means[pairs[:, 1]]
        z = sampling.interpolate(interpolation.linear, *ends, 11)
        return draw(params, z, 33, height=28)

    def figures(state, key):
        params = state.params
        means = encode(params, greys)[0]
        decoded = _bytes(np.asarray(decode(params, means[:16])))
        pictures = {
            "reconstructions": drawing.sheet(
                np.concatenate([test.images[:16], decoded]), 16
            ),
            "samples": samples(state, key),
            "blends": blends(params, means),
        }
        if model.network.latents == 2:
            pictures["latent_map"] = _latent_map(params, means, test, draw)
        return pictures

    def frames(state, key):
        return {"training": samples(state, key)}

    return figures, frames


def _latent_map(params, means, test, draw, side=20):
    """Draws a grid of decoded latent vectors beside the test images' means."""
    # Quantiles of the normal distribution make all cells equally probable.
    steps = jax.scipy.stats.norm.ppf((jnp.arange(side) + 0.5) / side)
    x, y = jnp.meshgrid(steps, -steps)
    decoded = draw(params, jnp.stack([x, y], axis=-1).reshape(-1, 2), side, height=28)
    points = drawing.scatter(np.asarray(means), test.labels, test.names, len(decoded))
    return np.concatenate([decoded, points], axis=1)


def _bytes(probabilities):
    return np.uint8(np.round(255 * probabilities))
