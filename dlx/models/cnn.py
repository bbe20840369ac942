"""Convolutional networks."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax

from dlx.models.layers import Conv
from dlx.models.mlp import MLP


class CNN(nn.Module):
    """3x3 convolutions of stride 2, then dense layers, all with ReLU.

    Attributes:
      channels: The channels of each convolution.
      features: The width of each dense layer.
      layer_norm: Normalises each dense layer before its ReLU.
      dtype: The dtype of the arithmetic; None for that of inputs and parameters.
    """

    channels: Sequence[int]
    features: Sequence[int]
    layer_norm: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[batch, height, width, channels] float32 -> [batch, features[-1]]."""
        for channels in self.channels:
            x = nn.relu(Conv(channels, (3, 3), strides=2, dtype=self.dtype)(x))
        return MLP(self.features, self.dtype, self.layer_norm)(x)
