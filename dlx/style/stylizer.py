"""The image transformation network of Johnson, Alahi and Fei-Fei (2016)."""

from collections.abc import Callable, Sequence
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from dlx.models.layers import Conv


class Stylizer(nn.Module):
    """Downsampling convolutions, residual blocks, upsampling; for images of any size.

    It has instance normalisation (Ulyanov et al. 2016) and reflection padding. Nearest-
    neighbour upsampling before each convolution avoids checkerboards (Odena et al.
    2016).

    Attributes:
      channels: Channels at the image's size, at half of it, at a quarter, and so on.
      blocks: The number of residual blocks at the smallest size.
      convolution: The function that computes convolutions, with the signature of
        `lax.conv_general_dilated`. None selects the one that is fast inside a training
        loop.
    """

    channels: Sequence[int]
    blocks: int
    convolution: Callable[..., jax.Array] | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """[batch, height, width, 3] float32 in [0, 1] -> the same shape and range."""
        height, width = images.shape[1:3]
        multiple = 2 ** (len(self.channels) - 1)
        x = jnp.pad(
            images,
            ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)),
            "edge",
        )
        first, *deeper = self.channels
        x = nn.relu(self._normalise(self._conv(2 * x - 1, first, 9)))
        for channels in deeper:
            x = nn.relu(self._normalise(self._conv(x, channels, 3, 2)))
        for _ in range(self.blocks):
            y = nn.relu(self._normalise(self._conv(x, x.shape[-1], 3)))
            x += self._normalise(self._conv(y, x.shape[-1], 3))
        for channels in self.channels[-2::-1]:
            x = x.repeat(2, axis=1).repeat(2, axis=2)
            x = nn.relu(self._normalise(self._conv(x, channels, 3)))
        x = nn.sigmoid(self._conv(x, 3, 9, use_bias=True))
        return x[:, :height, :width]

    def _conv(self, x, channels, kernel, stride=1, use_bias=False):
        edge = kernel // 2
        x = jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), "reflect")
        make = Conv
        if self.convolution:
            make = functools.partial(nn.Conv, conv_general_dilated=self.convolution)
        return make(channels, (kernel, kernel), stride, "VALID", use_bias=use_bias)(x)

    def _normalise(self, x):
        return nn.GroupNorm(num_groups=None, group_size=1)(x)
