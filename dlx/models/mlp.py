"""Fully connected networks."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp


class Dense(nn.Dense):
    """A dense layer that also takes sparse inputs.

    The product with a sparse input is the sum of a few rows of the kernel, which is
    much faster.
    """

    def __call__(self, x: Any) -> jax.Array:
        """Maps [batch, inputs] to [batch, features]; a BCOO has one batch dimension."""
        if not _is_sparse(x):
            return super().__call__(x)
        if self.is_initializing():
            return super().__call__(jnp.zeros(x.shape))
        kernel, bias = (self.get_variable("params", key) for key in ("kernel", "bias"))
        rows = jnp.asarray(kernel)[x.indices[..., 0]] * x.data[..., None]
        return (jnp.sum(rows, axis=1) + bias[None]).astype(self.dtype or rows.dtype)


def _is_sparse(x):
    """Whether x is a BCOO, whose module takes half a second to import."""
    return hasattr(x, "todense")


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
    def __call__(self, x: Any) -> jax.Array:
        """[batch, ...] float32 -> [batch, features[-1]].

        The input may be sparse: a BCOO [batch, inputs] with one batch dimension.
        """
        x = x if _is_sparse(x) else x.reshape(x.shape[0], -1)
        for layer, width in enumerate(self.features):
            x = Dense(width, dtype=self.dtype, name=f"Dense_{layer}")(x)
            x = nn.relu(nn.LayerNorm(dtype=self.dtype)(x) if self.layer_norm else x)
        return x
