"""Layers that several networks share: convolution, pooling, upsampling."""

from collections.abc import Callable

from flax import linen as nn
import jax
from jax import lax

from dlx.models.cpu_conv import average_pool, matmul_conv, max_pool, max_pool_3x3

__all__ = [
    "Conv", "average_pool", "convolution", "max_pool", "max_pool_3x3", "upsample"
]  # fmt: skip


def convolution() -> Callable[..., jax.Array]:
    """Returns `lax.conv_general_dilated` or, on the CPU, its matrix-product form."""
    return matmul_conv if jax.default_backend() == "cpu" else lax.conv_general_dilated


def Conv(*args, **kwargs) -> nn.Conv:  # noqa: N802, stands in for the class
    """Makes an `nn.Conv` that computes in the form that `convolution` returns."""
    return nn.Conv(*args, conv_general_dilated=convolution(), **kwargs)


def upsample(x: jax.Array, factor: tuple[int, int] = (2, 2)) -> jax.Array:
    """Sub-pixel upsampling: moves channels into space (Shi et al. 2016, section 3.2).

    A convolution followed by this equals a transposed convolution and is fast on the
    CPU.

    Args:
      x: [batch, height, width, factor[0] factor[1] channels].
      factor: Multiples of height and width.

    Returns:
      [batch, factor[0] height, factor[1] width, channels].
    """
    batch, height, width, channels = x.shape
    down, right = factor
    x = x.reshape(batch, height, width, down, right, channels // (down * right))
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, down * height, right * width, -1)
