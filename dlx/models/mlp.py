"""Fully connected networks."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax


class MLP(nn.Module):
    """Dense layers with ReLU on flattened inputs.

    Attributes:
      features: The width of each layer.
      dtype: The dtype of the arithmetic; None for that of inputs and parameters.
      layer_norm: Normalises each layer before its ReLU (Ba et al. 2016).
    """

    features: Sequence[int]
    dtype: Any = None
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[batch, ...] float32 -> [batch, features[-1]] float32."""
        x = x.reshape(x.shape[0], -1)
        for width in self.features:
            x = nn.Dense(width, dtype=self.dtype)(x)
            x = nn.relu(nn.LayerNorm(dtype=self.dtype)(x) if self.layer_norm else x)
        return x
