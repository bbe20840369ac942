"""What a picture's style is, how far another is from it, and colours that stay.

A style is what a network's features are like over a whole picture, wherever they are:
their number, sum and sum of products, from which each loss here follows. Sums over
parts of a picture add up to those of the whole.
"""

from collections.abc import Sequence
import dataclasses
import math

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from dlx.models.receptive_field import Reach

# Luminance and two differences of colours (the NTSC's YIQ).
_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32
)


@struct.dataclass
class Statistics:
    """Of features, over a picture or a part of it.

    Attributes:
      number: [] float32, of positions, or of their weights.
      sum: [channels] float32.
      products: [channels, channels] float32, sum of f f^T.
    """

    number: jax.Array
    sum: jax.Array
    products: jax.Array

    @property
    def mean(self) -> jax.Array:
        return self.sum / self.number

    @property
    def gram(self) -> jax.Array:
        """E[f f^T]: Gatys et al. (2016), eq. 3, for a picture of any size."""
        return self.products / self.number

    @property
    def covariance(self) -> jax.Array:
        return self.gram - self.mean[:, None] * self.mean[None]


def statistics(features: jax.Array, weights: jax.Array) -> Statistics:
    """Sums over positions.

    Args:
      features: [height, width, channels].
      weights: [height, width], how much each position counts.
    """
    flat, weights = features.reshape(-1, features.shape[-1]), weights.ravel()
    return Statistics(jnp.sum(weights), weights @ flat, _products(flat, weights))


@jax.custom_vjp
def _products(x, weights):
    """Sum of w x x^T over rows of x."""
    return (x * weights[:, None]).T @ x


def _products_forward(x, weights):
    return _products(x, weights), (x, weights)


def _products_backward(saved, cotangent):
    """With one product where JAX, which does not see the symmetry, would have two."""
    x, weights = saved
    both = x @ (cotangent + cotangent.T)
    return both * weights[:, None], 0.5 * jnp.sum(both * x, axis=1)


_products.defvjp(_products_forward, _products_backward)


# Each loss is 0 for the style itself and 1, or about that, for a picture of nothing: so
# layers of any network weigh as much as one says they do.


def gram_loss(ours: Statistics, style: Statistics) -> jax.Array:
    """Gatys et al. (2016), eq. 4: |G - A|^2, here in units of |A|^2."""
    return jnp.sum((ours.gram - style.gram) ** 2) / jnp.sum(style.gram**2)


def moments_loss(ours: Statistics, style: Statistics) -> jax.Array:
    """Channels' means and deviations (Li et al. 2017, section 4.2; Huang 2017, eq. 11).

    In units of the style's mean square.
    """

    def deviation(s):
        return jnp.sqrt(jnp.maximum(jnp.diagonal(s.covariance), 0) + 1e-6)

    means = jnp.sum((ours.mean - style.mean) ** 2)
    deviations = jnp.sum((deviation(ours) - deviation(style)) ** 2)
    return (means + deviations) / jnp.trace(style.gram)


def wasserstein_loss(ours: Statistics, style: Statistics) -> jax.Array:
    """Squared 2-Wasserstein distance of Gaussians of both means and covariances.

    |m - m'|^2 + tr(C + C' - 2 (C'^1/2 C C'^1/2)^1/2) (Olkin and Pukelsheim 1982), in
    units of the style's mean square.
    """
    values, vectors = jnp.linalg.eigh(style.covariance)
    root = (vectors * jnp.sqrt(jnp.maximum(values, 0))[None]) @ vectors.T
    covariances = jnp.trace(ours.covariance) + jnp.trace(style.covariance)
    covariances -= 2 * _trace_of_root(root @ ours.covariance @ root)
    means = jnp.sum((ours.mean - style.mean) ** 2)
    return (means + covariances) / jnp.trace(style.gram)


@jax.custom_vjp
def _trace_of_root(matrix):
    """tr M^1/2 of a symmetric matrix without negative eigenvalues."""
    values = jnp.linalg.eigvalsh(matrix)
    return jnp.sum(jnp.sqrt(jnp.maximum(values, 0)))


def _trace_of_root_forward(matrix):
    values, vectors = jnp.linalg.eigh(matrix)
    values = jnp.maximum(values, 0)
    return jnp.sum(jnp.sqrt(values)), (values, vectors)


def _trace_of_root_backward(saved, cotangent):
    """M^-1/2 / 2; eigenvalues that are equal do no harm, as they would in eigh's."""
    values, vectors = saved
    least = 1e-6 * values[-1] + 1e-12
    inverse = (vectors / jnp.sqrt(values + least)[None]) @ vectors.T
    return (0.5 * cotangent * inverse,)


_trace_of_root.defvjp(_trace_of_root_forward, _trace_of_root_backward)

LOSSES = {
    "gram": gram_loss,
    "moments": moments_loss,
    "wasserstein": wasserstein_loss,
}


def total_variation(picture: jax.Array) -> jax.Array:
    """Mean squared difference of neighbours, down and across; [height, width, 3]."""
    down, across = picture[1:] - picture[:-1], picture[:, 1:] - picture[:, :-1]
    return jnp.mean(down**2) + jnp.mean(across**2)


def luminance(picture: jax.Array) -> jax.Array:
    """[..., 3] RGB -> [...]."""
    return picture @ _YIQ[0]


def with_colours_of(picture: jax.Array, colours: jax.Array) -> jax.Array:
    """One picture's luminance with another's colours (Gatys et al. 2016, "Preserving
    color in neural artistic style transfer", section 4).

    Luminance is limited to what those colours allow; so none is ever clipped.

    Args:
      picture: [..., 3] RGB in [0, 1].
      colours: [..., 3] RGB in [0, 1].
    """
    chroma = colours - luminance(colours)[..., None]
    least, most = -chroma.min(axis=-1), 1 - chroma.max(axis=-1)
    return jnp.clip(luminance(picture), least, most)[..., None] + chroma


@dataclasses.dataclass(frozen=True)
class Cut:
    """A side of a picture in overlapping windows of one length.

    Every feature belongs to one window, in which it sees all that it sees of the whole.

    Attributes:
      length: Of each window, in pixels.
      starts: First pixel of each.
      borders: Window k has the features whose place, in pixels, is borders[k] or more
        and below borders[k + 1].
    """

    length: int
    starts: tuple[int, ...]
    borders: tuple[float, ...]

    def owned(self, reach: Reach, number: int) -> np.ndarray:
        """[windows, number] float32: 1 where a window's feature belongs to it."""
        places = np.add.outer(self.starts, reach.stride * np.arange(number))
        first, end = (
            np.reshape(b, (-1, 1)) for b in (self.borders[:-1], self.borders[1:])
        )
        return np.float32((places >= first) & (places < end))


def cut(side: int, reaches: Sequence[Reach], longest: int) -> Cut:
    """Lays out windows.

    Args:
      side: The picture's height or width.
      reaches: Of all layers whose features are wanted.
      longest: Pixels that a window may have; 0 for no limit.

    Raises:
      ValueError: where that is too short for what a feature sees.
    """
    if not longest or side <= longest:
        return Cut(side, (0,), (-math.inf, math.inf))
    stride = max(reach.stride for reach in reaches)
    before = max(reach.before for reach in reaches)
    after = max(reach.after for reach in reaches)

    def down(pixels):
        return pixels // stride * stride

    def up(pixels):
        return -down(-pixels)

    length = side - up(side - longest)  # so that the last one, too, is in step
    hop = down(length - after - up(before))
    if hop < stride:
        least = stride + after + up(before) + stride
        raise ValueError(f"windows of {longest} pixels are too short; {least} would do")
    starts = (*range(0, side - length, hop), side - length)
    inner = [up(start + before) for start in starts[1:]]
    return Cut(length, starts, (-math.inf, *inner, math.inf))
