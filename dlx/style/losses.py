"""Style statistics and losses, and colour preservation.

The style of a picture is the distribution of a network's features over all positions.
Here it is represented by their number, sum and sum of products, from which every loss
is computed.
Sums over tiles of a picture add up to the sums over the whole picture.
"""

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

# RGB to luminance and two colour differences (NTSC's YIQ).
_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32
)


@struct.dataclass
class Statistics:
    """Sums of features over a picture or a tile of it.

    Attributes:
      number: [] float32. The number of positions, or the sum of their weights.
      sum: [channels] float32. The weighted sum of the features f.
      products: [channels, channels] float32. The weighted sum of f f^T.
    """

    number: jax.Array
    sum: jax.Array
    products: jax.Array

    @property
    def mean(self) -> jax.Array:
        return self.sum / self.number

    @property
    def gram(self) -> jax.Array:
        """E[f f^T]: Gatys et al. (2016), eq. 3, divided by the number of positions."""
        return self.products / self.number

    @property
    def covariance(self) -> jax.Array:
        return self.gram - self.mean[:, None] * self.mean[None]


def statistics(features: jax.Array, weights: jax.Array) -> Statistics:
    """Computes weighted sums over positions.

    Args:
      features: [height, width, channels] float32.
      weights: [height, width] float32. The weight of each position.
    """
    flat, weights = features.reshape(-1, features.shape[-1]), weights.ravel()
    return Statistics(jnp.sum(weights), weights @ flat, _products(flat, weights))


@jax.custom_vjp
def _products(x, weights):
    """Sum of w x x^T over the rows x of a matrix."""
    return (x * weights[:, None]).T @ x


def _products_forward(x, weights):
    return _products(x, weights), (x, weights)


def _products_backward(saved, cotangent):
    """Uses the symmetry: one matrix product; automatic gradients need two."""
    x, weights = saved
    product = x @ (cotangent + cotangent.T)
    return product * weights[:, None], 0.5 * jnp.sum(product * x, axis=1)


_products.defvjp(_products_forward, _products_backward)


# Losses are normalised: 0 for the style image, about 1 for a blank image. Layer weights
# therefore have the same meaning in every network.


def gram_loss(picture: Statistics, style: Statistics) -> jax.Array:
    """Gatys et al. (2016), eq. 4: |G - A|^2, divided by |A|^2."""
    return jnp.sum((picture.gram - style.gram) ** 2) / jnp.sum(style.gram**2)


def moments_loss(picture: Statistics, style: Statistics) -> jax.Array:
    """Compares channel means and deviations.

    Li et al. (2017), section 4.2; Huang (2017), eq. 11. The loss is divided by the mean
    square of the style's features.
    """

    def deviation(s):
        return jnp.sqrt(jnp.maximum(jnp.diagonal(s.covariance), 0) + 1e-6)

    means = jnp.sum((picture.mean - style.mean) ** 2)
    deviations = jnp.sum((deviation(picture) - deviation(style)) ** 2)
    return (means + deviations) / jnp.trace(style.gram)


def wasserstein_loss(picture: Statistics, style: Statistics) -> jax.Array:
    """Squared 2-Wasserstein distance of Gaussians with these means and covariances.

    |m - m'|^2 + tr(C + C' - 2 (C'^1/2 C C'^1/2)^1/2) (Olkin and Pukelsheim 1982),
    divided by the mean square of the style's features.
    """
    values, vectors = jnp.linalg.eigh(style.covariance)
    root = (vectors * jnp.sqrt(jnp.maximum(values, 0))[None]) @ vectors.T
    covariances = jnp.trace(picture.covariance) + jnp.trace(style.covariance)
    covariances -= 2 * _trace_of_root(root @ picture.covariance @ root)
    means = jnp.sum((picture.mean - style.mean) ** 2)
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
    """M^-1/2 / 2. Unlike the gradient of eigh, it is finite for equal eigenvalues."""
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
    """Mean squared difference of neighbouring pixels, picture [height, width, 3]."""
    down, across = picture[1:] - picture[:-1], picture[:, 1:] - picture[:, :-1]
    return jnp.mean(down**2) + jnp.mean(across**2)


def luminance(picture: jax.Array) -> jax.Array:
    """Luminance: [..., 3] RGB -> [...]."""
    return picture @ _YIQ[0]


def with_colours_of(picture: jax.Array, colours: jax.Array) -> jax.Array:
    """Combines one picture's luminance with another's colours.

    Gatys et al. (2016), "Preserving color in neural artistic style transfer", section
    4. Luminance is limited to the range that the colours allow, which avoids clipping.

    Args:
      picture: [..., 3] RGB in [0, 1]. Its luminance is used.
      colours: [..., 3] RGB in [0, 1]. Its colours are used.
    """
    chroma = colours - luminance(colours)[..., None]
    least, most = -chroma.min(axis=-1), 1 - chroma.max(axis=-1)
    return jnp.clip(luminance(picture), least, most)[..., None] + chroma
