"""Networks of agents: torsos, actor-critic, action values."""

from collections.abc import Sequence

from flax import linen as nn
import jax
import jax.numpy as jnp

from dlx.models.cnn import CNN
from dlx.models.mlp import MLP


def make_torso(
    name: str, *, features: Sequence[int], channels: Sequence[int]
) -> nn.Module:
    """Makes a torso.

    Args:
      name: 'mlp', fully connected, or 'cnn', convolutional.
      features: The widths of the dense layers.
      channels: The channels of the convolutions of 'cnn'.

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
        return MLP(tuple(features))
    if name == "cnn":
        return CNN(tuple(channels), tuple(features))
    raise ValueError(f"unknown network {name!r}; known are: mlp, cnn")


class ActorCritic(nn.Module):
    """Action logits and a state value.

    Attributes:
      torso: A module from observations to features, shared by both heads.
      num_actions: The number of logits.
    """

    torso: nn.Module
    num_actions: int

    @nn.compact
    def __call__(self, observations: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Observations [batch, ...] -> logits [batch, num_actions], values [batch]."""
        features = self.torso(observations)
        # Small initial weights make every action equally likely and every value near 0.
        small = nn.initializers.variance_scaling(1e-4, "fan_in", "normal")
        logits = nn.Dense(self.num_actions, kernel_init=small)(features)
        values = nn.Dense(1, kernel_init=small)(features)
        return logits, values[:, 0]


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
        features = self.torso(observations)
        values = nn.Dense(self.num_actions)(features)
        if not self.dueling:
            return values
        advantages = values - jnp.mean(values, axis=-1, keepdims=True)
        return nn.Dense(1)(features) + advantages
