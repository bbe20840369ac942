"""Q-learning: TD errors, exploration, importance weights."""

import chex
import jax
from jax import lax
import jax.numpy as jnp

from dlx.runtime import devices


def q_learning(
    q: jax.Array,
    action: jax.Array,
    reward: jax.Array,
    discount: jax.Array,
    target_q: jax.Array,
    selector_q: jax.Array,
) -> jax.Array:
    """The TD error of one transition (van Hasselt et al. 2016, equation 4).

    Args:
      q: [num_actions] float32. Values in the first state.
      action: [] integer. The action taken there.
      reward: [] float32.
      discount: [] float32. It is 0 if the episode terminated.
      target_q: [num_actions] float32. The target network's values in the next state.
      selector_q: [num_actions] float32. It selects the action in the next state: the
        network's own values for double Q-learning, `target_q` for plain Q-learning
        (Mnih et al. 2015).

    Returns:
      [] float32, target less value. The target is a constant.
    """
    chex.assert_rank(
        [q, action, reward, discount, target_q, selector_q], [1, 0, 0, 0, 1, 1]
    )
    target = reward + discount * target_q[jnp.argmax(selector_q)]
    return lax.stop_gradient(target) - q[action]


def epsilon_greedy(key: jax.Array, q: jax.Array, epsilon: jax.Array) -> jax.Array:
    """Draws epsilon-greedy actions: [batch, num_actions] -> [batch]."""
    explore_key, action_key = jax.random.split(key)
    batch, num_actions = q.shape
    anything = jax.random.randint(action_key, (batch,), 0, num_actions)
    explore = jax.random.uniform(explore_key, (batch,)) < epsilon
    return jnp.where(explore, anything, jnp.argmax(q, axis=-1))


def importance_weights(
    probability: jax.Array, size: jax.Array, beta: jax.Array
) -> jax.Array:
    """Computes (1 / (size P))^beta over its maximum (Schaul et al. 2016, section 3.4).

    The maximum is over the batches of all devices. Each device uses the size of its own
    replay and probabilities in it; all devices draw equally often.
    """
    weights = (size * probability) ** -beta
    return weights / lax.pmax(jnp.max(weights), devices.AXIS)
