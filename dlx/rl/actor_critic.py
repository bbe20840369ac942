"""A policy and a value on a shared torso (Mnih et al. 2016, section 4)."""

from flax import linen as nn
import jax


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
