"""Action values on a torso (Mnih et al. 2015), plain or duelling (Wang et al. 2016)."""

from flax import linen as nn
import jax
import jax.numpy as jnp


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
