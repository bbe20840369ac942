"""Networks of agents: torsos, actor-critic, action values."""

from collections.abc import Sequence
import math
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from dlx.models.cnn import CNN
from dlx.models.mlp import MLP


def make_torso(
    name: str,
    *,
    features: Sequence[int],
    channels: Sequence[int],
    layer_norm: bool = False,
    dtype: Any = None,
) -> nn.Module:
    """Makes a torso.

    Args:
      name: 'mlp', fully connected, or 'cnn', convolutional.
      features: The widths of the dense layers.
      channels: The channels of the convolutions of 'cnn'.
      layer_norm: Normalises the dense layers.
      dtype: The dtype of the arithmetic; None for that of the observations. Parameters
        and features are float32.

    Raises:
      ValueError: if the name is unknown, there is no dense layer, or a width is not a
        positive integer.
    """
    widths = [*features, *channels]
    if not features or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(
            f"layers need positive integer widths, got features={tuple(features)} and "
            f"channels={tuple(channels)}"
        )
    if name == "mlp":
        return MLP(tuple(features), dtype, layer_norm)
    if name == "cnn":
        return CNN(tuple(channels), tuple(features), layer_norm, dtype)
    raise ValueError(f"unknown network {name!r}; choose one of: mlp, cnn")


class ActorCritic(nn.Module):
    """The parameters of an action distribution, and a state value.

    Attributes:
      torso: A module from observations to features, shared by both heads.
      num_actions: The number of logits; None if actions are continuous.
      action_shape: The shape of a continuous action.
    """

    torso: nn.Module
    num_actions: int | None
    action_shape: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, observations: jax.Array) -> tuple[Any, jax.Array]:
        """Maps observations [batch, ...] to the policy and the values [batch].

        The policy is logits [batch, num_actions] or, if actions are continuous, means
        and logarithmic deviations [batch, *action_shape].
        """
        features = self.torso(observations).astype(jnp.float32)
        # Small initial weights make every action equally likely and every value near 0.
        small = nn.initializers.variance_scaling(1e-4, "fan_in", "normal")
        outputs = self.num_actions or math.prod(self.action_shape)
        logits = nn.Dense(outputs, kernel_init=small)(features)
        values = nn.Dense(1, kernel_init=small)(features)
        if self.num_actions is not None:
            return logits, values[:, 0]
        mean = logits.reshape(-1, *self.action_shape)
        log_std = self.param("log_std", nn.initializers.zeros, self.action_shape)
        return (mean, jnp.broadcast_to(log_std, mean.shape)), values[:, 0]


class QNetwork(nn.Module):
    """Action values.

    Attributes:
      torso: A module from observations to features.
      num_actions: The number of values.
      dueling: Adds a state value to advantages of mean 0 (Wang et al. 2016, eq. 9).
    """

    torso: nn.Module
    num_actions: int
    dueling: bool = False

    @nn.compact
    def __call__(self, observations: jax.Array) -> jax.Array:
        """Observations [batch, ...] -> action values [batch, num_actions] float32."""
        features = self.torso(observations).astype(jnp.float32)
        values = nn.Dense(self.num_actions)(features)
        if not self.dueling:
            return values
        advantages = values - jnp.mean(values, axis=-1, keepdims=True)
        return nn.Dense(1)(features) + advantages
