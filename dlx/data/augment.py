"""Random augmentation of images, [batch, height, width, channels] float32."""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates


def flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability one half."""
    mirror = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(mirror, images[:, :, ::-1], images)


def alternating_flip(
    key: jax.Array, index: jax.Array, epoch: jax.Array, images: jax.Array
) -> jax.Array:
    """Mirrors half of the examples in even epochs and the other half in odd ones.

    Two consecutive epochs show both sides of each (Jordan 2024, section 3.6).

    Args:
      key: The key of the halves, which is the same at every step.
      index: [batch] integers. Indices of the examples in the data set.
      epoch: [batch] integers. How often each example was shown before.
      images: The batch.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
    half = jax.vmap(jax.random.bernoulli)(keys)
    mirror = (half ^ (epoch % 2 == 1))[:, None, None, None]
    return jnp.where(mirror, images[:, :, ::-1], images)


def shift(key: jax.Array, images: jax.Array, most: int, mode: str) -> jax.Array:
    """Shifts each image by up to `most` pixels along either axis.

    Args:
      key: The key of the shifts.
      images: The batch.
      most: The largest shift in pixels.
      mode: How `jnp.pad` fills the border: 'constant' (with 0) or 'reflect'.
    """
    batch, height, width, _ = images.shape
    border = (0, 0), (most, most), (most, most), (0, 0)
    padded = jnp.pad(images, border, mode=mode)
    down_key, right_key = jax.random.split(key)
    down = jax.random.randint(down_key, (batch, 1), 0, 2 * most + 1)
    right = jax.random.randint(right_key, (batch, 1), 0, 2 * most + 1)
    rows = down + jnp.arange(height)[None]
    columns = right + jnp.arange(width)[None]
    number = jnp.arange(batch)[:, None, None]
    return padded[number, rows[:, :, None], columns[:, None, :]]


def affine(key: jax.Array, images: jax.Array, degrees: float, zoom: float) -> jax.Array:
    """Turns and enlarges each image about its centre, with bilinear interpolation.

    Args:
      key: The key of angles and sizes.
      images: The batch. What comes from outside an image is 0.
      degrees: The largest angle, either way.
      zoom: Sizes are 1 - zoom ... 1 + zoom times as large.
    """
    batch, height, width, _ = images.shape
    angle_key, size_key = jax.random.split(key)
    radians = jnp.radians(degrees)
    angles = jax.random.uniform(angle_key, (batch,), minval=-radians, maxval=radians)
    sizes = jax.random.uniform(size_key, (batch,), minval=1 - zoom, maxval=1 + zoom)
    y = jnp.arange(height)[:, None] - (height - 1) / 2
    x = jnp.arange(width)[None] - (width - 1) / 2

    def transform(image, angle, size):
        cosine, sine = jnp.cos(angle) / size, jnp.sin(angle) / size
        rows = cosine * y - sine * x + (height - 1) / 2
        columns = sine * y + cosine * x + (width - 1) / 2

        def sample(channel):
            return map_coordinates(channel, [rows, columns], order=1)

        return jax.vmap(sample, -1, -1)(image)

    return jax.vmap(transform)(images, angles, sizes)


def brightness(key: jax.Array, images: jax.Array, most: float) -> jax.Array:
    """Adds one random number in -most ... most to each image."""
    batch = images.shape[0]
    return images + jax.random.uniform(key, (batch, 1, 1, 1), minval=-most, maxval=most)


def contrast(key: jax.Array, images: jax.Array, least: float, most: float) -> jax.Array:
    """Scales each image about its channels' means by a factor in least ... most."""
    batch = images.shape[0]
    factor = jax.random.uniform(key, (batch, 1, 1, 1), minval=least, maxval=most)
    mean = jnp.mean(images, axis=(1, 2), keepdims=True)
    return mean + factor * (images - mean)


def cutout(key: jax.Array, images: jax.Array, share: float) -> jax.Array:
    """Sets a rectangle of each image to 0 (DeVries and Taylor 2017).

    Args:
      key: The key of the rectangles' positions.
      images: The batch.
      share: Height and width of the rectangle as a share of the image's. A rectangle
        may lie partly outside the image.
    """
    batch, height, width, _ = images.shape

    def outside(key, side):
        length = round(share * side)
        first = jax.random.randint(key, (batch, 1), -(length // 2), side - length // 2)
        position = jnp.arange(side)[None]
        return (position < first) | (position >= first + length)

    down_key, right_key = jax.random.split(key)
    rows, columns = outside(down_key, height), outside(right_key, width)
    return images * (rows[:, :, None, None] | columns[:, None, :, None])
