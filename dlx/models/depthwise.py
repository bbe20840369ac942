"""Depthwise convolution without the primitive, for the CPU; see cpu_conv.py."""

from collections.abc import Sequence
import functools

import jax
import jax.numpy as jnp


def depthwise(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], shape: Sequence[int]
) -> jax.Array:
    """Adds shifted inputs, each multiplied by one weight of every channel.

    Args:
      x: [batch, height', width', channels], padded.
      kernel: [kernel_height, kernel_width, 1, channels].
      strides: Two integers.
      shape: Height and width of the result.

    Returns:
      [batch, height, width, channels].
    """
    (down, right), (height, width) = strides, shape
    shifted = (
        x[:, i : i + down * height : down, j : j + right * width : right]
        * kernel[i, j][None, None]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )
    return functools.reduce(jnp.add, (part[:, :height, :width] for part in shifted))
