"""Convolution in the form that suits the backend.

On the CPU a convolution primitive inside `lax.scan` runs about 25 times slower than
outside, since it gets no threads there. As shifted slices beside each other and one
matrix product it does not.
"""

import math
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp


def patches_conv(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides,
    padding,
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,
    feature_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> jax.Array:
    """`lax.conv_general_dilated` for plain 2-D convolutions, as one matrix product.

    Args:
      lhs: [batch, height, width, in_channels].
      rhs: [kernel_height, kernel_width, in_channels, out_channels].
      window_strides: Two integers.
      padding: 'SAME', 'VALID' or [(low, high), (low, high)].
      lhs_dilation: None or ones, like the next three nothing but the default.
      rhs_dilation: None or ones.
      dimension_numbers: NHWC, HWIO, NHWC, as Flax asks for.
      feature_group_count: 1.
      precision: As for `lax.dot_general`.
      preferred_element_type: As for `lax.dot_general`.

    Returns:
      [batch, out_height, out_width, out_channels].

    Raises:
      NotImplementedError: for dilation or groups.
    """
    del dimension_numbers
    dilated = math.prod(lhs_dilation or (1,)) * math.prod(rhs_dilation or (1,)) != 1
    if dilated or feature_group_count != 1:
        raise NotImplementedError("patches_conv knows no dilation and no groups")
    kernel = rhs.shape[:2]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], kernel, window_strides, padding)
    padded = jnp.pad(lhs, ((0, 0), *padding, (0, 0)))
    height, width = (
        (padded.shape[1 + axis] - kernel[axis]) // window_strides[axis] + 1
        for axis in range(2)
    )
    down, right = window_strides
    shifted = [
        padded[:, i : i + down * height : down, j : j + right * width : right][
            :, :height, :width
        ]
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]
    return lax.dot_general(
        jnp.concatenate(shifted, axis=-1),
        rhs.reshape(-1, rhs.shape[-1]),
        (((3,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def Conv(*args, **kwargs) -> nn.Conv:  # noqa: N802, stands in for the class
    """`nn.Conv` in the form that suits the backend; the parameters are the same."""
    if jax.default_backend() == "cpu":
        kwargs["conv_general_dilated"] = patches_conv
    return nn.Conv(*args, **kwargs)


def max_pool(x: jax.Array) -> jax.Array:
    """The largest of each 2x2 pixels; an odd row or column at the end is left out.

    Args:
      x: [batch, height, width, channels].

    Returns:
      [batch, height // 2, width // 2, channels]. As reshape and maximum, which the CPU
      does faster than a reduced window, backwards above all.
    """
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
