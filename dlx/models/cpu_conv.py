"""Convolution and pooling as matrix products, reshapes and maxima, for the CPU.

XLA gives a convolution primitive no threads inside `lax.scan` on the CPU, where it runs
several times slower than outside. These forms keep their speed there.
"""

import functools
import math
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx.models.depthwise import depthwise

_WINOGRAD = 50  # Winograd is fastest if both channel counts are at least this
# Adding row groups is faster if it holds at most this share of im2col.
_WORTH_ADDING = 0.9
_B_T = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
_A_T = ((1, 1, 1, 0), (0, 1, -1, -1))


def matmul_conv(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides,
    padding,
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,  # unused
    feature_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> jax.Array:
    """Computes a plain 2-D `lax.conv_general_dilated` with matrix products.

    It takes one product of concatenated shifted inputs, or the sixteen products of
    Winograd's minimal filtering if both channel counts are large.

    Args:
      lhs: [batch, height, width, in_channels].
      rhs: [kernel_height, kernel_width, in_channels, out_channels].
      window_strides: Two integers.
      padding: 'SAME', 'VALID' or [(low, high), (low, high)].
      lhs_dilation: None or ones.
      rhs_dilation: None or ones.
      dimension_numbers: Ignored; the layout is NHWC, HWIO, NHWC, as Flax has it.
      feature_group_count: 1, or the number of channels (a depthwise convolution).
      precision: See `lax.dot_general`.
      preferred_element_type: See `lax.dot_general`.

    Returns:
      [batch, out_height, out_width, out_channels].

    Raises:
      NotImplementedError: if there is dilation or another number of groups.
    """
    dilated = math.prod(lhs_dilation or (1,)) * math.prod(rhs_dilation or (1,)) != 1
    is_depthwise = feature_group_count == lhs.shape[-1] == rhs.shape[-1]
    if dilated or not (feature_group_count == 1 or is_depthwise):
        raise NotImplementedError("matmul_conv: no dilation, no grouped convolution")
    kernel = rhs.shape[:2]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], kernel, window_strides, padding)
    padded = jnp.pad(lhs, ((0, 0), *padding, (0, 0)))
    height, width = (
        (padded.shape[1 + axis] - kernel[axis]) // window_strides[axis] + 1
        for axis in range(2)
    )
    if min(height, width) < 1:  # smaller than the kernel
        shape = len(lhs), max(0, height), max(0, width), rhs.shape[-1]
        return jnp.zeros(shape, preferred_element_type or lhs.dtype)
    if is_depthwise and feature_group_count > 1:
        return depthwise(padded, rhs, window_strides, (height, width))
    product = functools.partial(
        _product, precision=precision, dtype=preferred_element_type
    )
    if (
        kernel == (3, 3)
        and tuple(window_strides) == (1, 1)
        and min(rhs.shape[2:]) >= _WINOGRAD
    ):
        return _winograd(padded, rhs, product)[:, :height, :width]
    return _shifted(padded, rhs, window_strides, (height, width), product)


def _shifted(x, kernel, strides, shape, product):
    """Computes a convolution as one matrix product of concatenated shifted inputs.

    The shifts cover the whole kernel (im2col). If that holds much more memory, they
    cover only one group of `stride` kernel rows; the product then has the results of
    all row groups, which are shifted and added.

    Args:
      x: [batch, height', width', in_channels], padded.
      kernel: [kernel_height, kernel_width, in_channels, out_channels].
      strides: Two integers.
      shape: Height and width of the result.
      product: Multiplies [..., m] and [m, n] into [..., n].

    Returns:
      [batch, height, width, out_channels].
    """
    (down, right), (height, width) = strides, shape
    rows, columns, channels, out_channels = kernel.shape
    groups = rows // down
    held = down * columns * channels + groups * out_channels
    if rows % down or held > _WORTH_ADDING * rows * columns * channels:
        groups = 1
    lines = height + groups - 1
    x = [x[:, :, j : j + right * width : right][:, :, :width] for j in range(columns)]
    x = jnp.concatenate(x, axis=-1)
    x = [x[:, i : i + down * lines : down][:, :lines] for i in range(rows // groups)]
    x = jnp.concatenate(x, axis=-1)
    kernel = kernel.reshape(groups, -1, out_channels).swapaxes(0, 1)
    y = product(x, kernel.reshape(-1, groups * out_channels))
    y = jnp.split(y, groups, axis=-1)
    return sum(part[:, n : n + height] for n, part in enumerate(y))


def _winograd(x, kernel, product):
    """Computes a 3x3 convolution with 16 products for 4 pixels instead of 36.

    F(2x2, 3x3) of Lavin and Gray (2016), "Fast algorithms for convolutional neural
    networks", section 4.1: Y = A^T [(G g G^T) * (B^T d B)] A for each tile d of 4x4.

    Args:
      x: [batch, height + 2, width + 2, in_channels].
      kernel: [3, 3, in_channels, out_channels].
      product: Multiplies [..., m] and [m, n] into [..., n].

    Returns:
      [batch, height, width, out_channels], height and width rounded up to even numbers.
    """
    batch, height, width, _ = x.shape
    high, wide = (height - 1) // 2, (width - 1) // 2  # in tiles
    x = jnp.pad(
        x, ((0, 0), (0, 2 * high + 2 - height), (0, 2 * wide + 2 - width), (0, 0))
    )
    tiles = [
        [x[:, i : i + 2 * high : 2, j : j + 2 * wide : 2] for j in range(4)]
        for i in range(4)
    ]
    d = _both_sides(_B_T, tiles)
    g = jnp.einsum("ai,bj,ijck->abck", _G, _G, kernel.astype(jnp.float32))
    g = g.astype(kernel.dtype)
    products = [[product(d[i][j], g[i, j]) for j in range(4)] for i in range(4)]
    y = _both_sides(_A_T, products)
    y = jnp.stack([jnp.stack(row, axis=3) for row in y], axis=2)
    return y.reshape(batch, 2 * high, 2 * wide, -1)


def _both_sides(matrix, x):
    """Computes M x M^T for a small integer matrix M and a square nested list x."""

    def combine(row, terms):
        signed = [n * term for n, term in zip(row, terms, strict=True) if n]
        return functools.reduce(jnp.add, signed)

    half = [[combine(row, column) for column in zip(*x, strict=True)] for row in matrix]
    return [[combine(row, line) for row in matrix] for line in half]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _product(x, w, precision, dtype):
    """Multiplies [..., m] and [m, n] into [..., n]."""
    return lax.dot_general(x, w, (((x.ndim - 1,), (0,)), ((), ())), precision, dtype)


def _product_forward(x, w, precision, dtype):
    return _product(x, w, precision, dtype), (x, w)


def _product_backward(precision, dtype, saved, cotangent):
    """The usual gradients; dw is ordered so that XLA does not transpose x first."""
    x, w = saved
    g = cotangent.reshape(-1, cotangent.shape[-1])
    dx = lax.dot_general(g, w, (((1,), (1,)), ((), ())), precision, dtype)
    dx = dx.reshape(x.shape).astype(x.dtype)
    x = x.reshape(-1, x.shape[-1])
    dw = lax.dot_general(x, g, (((0,), (0,)), ((), ())), precision, dtype)
    return dx, dw.astype(w.dtype)


_product.defvjp(_product_forward, _product_backward)


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
    """Takes the maximum of each 2x2 window; drops an odd last row or column.

    A reshape and a maximum are faster on the CPU than `reduce_window`. Equal maxima
    share the gradient, as in `jnp.max`.

    Args:
      x: [batch, height, width, channels].

    Returns:
      [batch, height // 2, width // 2, channels].
    """
    return _in_fours(x).max((2, 4))


def _in_fours(x):
    """Reshapes to windows: [batch, height // 2, 2, width // 2, 2, channels]."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels)


def _max_pool_forward(x):
    largest = max_pool(x)
    return largest, (x, largest)


def _max_pool_backward(saved, cotangent):
    x, largest = saved
    fours = _in_fours(x)
    equals = [fours[:, :, i, :, j] == largest for i in range(2) for j in range(2)]
    share = cotangent / sum(equal.astype(x.dtype) for equal in equals)
    largest, share = (a[:, :, None, :, None] for a in (largest, share))
    dx = jnp.where(fours == largest, share, 0)
    batch, height, _, width, _, channels = dx.shape
    dx = dx.reshape(batch, 2 * height, 2 * width, channels)
    odd = [(0, full - kept) for full, kept in zip(x.shape, dx.shape, strict=True)]
    return (jnp.pad(dx, odd),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def average_pool(x: jax.Array) -> jax.Array:
    """Takes the mean of each 2x2 window; otherwise equal to `max_pool`."""
    return _in_fours(x).mean((2, 4))


def max_pool_3x3(x: jax.Array) -> jax.Array:
    """Takes the maximum of 3x3 windows with stride 2.

    The last window may reach beyond the image (ceil mode, as in Caffe). The first of
    several equal maxima gets the gradient, by row and then by column.

    Args:
      x: [batch, height, width, channels].

    Returns:
      [batch, height // 2, width // 2, channels].
    """
    for axis in (1, 2):
        beyond = [(0, 0)] * x.ndim
        beyond[axis] = (0, 2 + x.shape[axis] // 2 * 2 - x.shape[axis])
        x = _max_of_threes(jnp.pad(x, beyond, constant_values=-jnp.inf), axis)
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_of_threes(x, axis):
    """Takes the maxima of elements 0..2, 2..4, ... along an axis of even length."""
    return functools.reduce(jnp.maximum, _threes(x, axis))


def _threes(x, axis):
    shape = *x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :]
    pairs = x.reshape(shape)
    even, odd = (lax.index_in_dim(pairs, n, axis + 1, False) for n in range(2))
    number = even.shape[axis]
    return (
        lax.slice_in_dim(even, 0, number - 1, axis=axis),
        lax.slice_in_dim(odd, 0, number - 1, axis=axis),
        lax.slice_in_dim(even, 1, number, axis=axis),
    )


def _max_of_threes_forward(x, axis):
    largest = _max_of_threes(x, axis)
    return largest, (x, largest)


def _max_of_threes_backward(axis, saved, cotangent):
    x, largest = saved
    first, second, third = (part == largest for part in _threes(x, axis))
    shares = [
        jnp.where(which, cotangent, 0)
        for which in (first, second & ~first, third & ~second & ~first)
    ]

    def pad(share, before, after):
        around = [(0, 0)] * share.ndim
        around[axis] = (before, after)
        return jnp.pad(share, around)

    even = pad(shares[0], 0, 1) + pad(shares[2], 1, 0)
    pairs = jnp.stack([even, pad(shares[1], 0, 1)], axis=axis + 1)
    return (pairs.reshape(x.shape),)


_max_of_threes.defvjp(_max_of_threes_forward, _max_of_threes_backward)
