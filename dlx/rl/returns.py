"""Returns and advantages."""

import chex
import jax
from jax import lax
import jax.numpy as jnp

from dlx.runtime import devices


def returns_to_go(
    rewards: jax.Array, discounts: jax.Array, bootstrap: jax.Array
) -> jax.Array:
    """Discounted returns, G_t = r_t + discount_t G_{t+1} (Sutton and Barto, eq. 3.9).

    Args:
      rewards: [time, env] float32. The reward after each action.
      discounts: [time, env] float32. It is 0 if the episode ended.
      bootstrap: [env] float32. It stands for the return after the last step.

    Returns:
      [time, env] float32.
    """
    chex.assert_equal_shape([rewards, discounts])

    def back(later, now):
        reward, discount = now
        here = reward + discount * later
        return here, here

    return lax.scan(back, bootstrap, (rewards, discounts), reverse=True)[1]


def gae(
    rewards: jax.Array, values: jax.Array, discounts: jax.Array, lambda_: float
) -> jax.Array:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16).

    Args:
      rewards: [time, env] float32. The reward after each action.
      values: [time + 1, env] float32. The last one is the bootstrap.
      discounts: [time, env] float32. It is 0 if the episode ended.
      lambda_: A number in [0, 1].

    Returns:
      [time, env] float32, not normalised.
    """
    chex.assert_equal_shape([rewards, discounts, values[1:]])
    td_errors = rewards + discounts * values[1:] - values[:-1]
    # The sum of (discount lambda)^l delta_{t+l} is a return to go, of TD errors.
    return returns_to_go(td_errors, discounts * lambda_, jnp.zeros_like(values[-1]))


def lambda_returns(
    rewards: jax.Array, values: jax.Array, discounts: jax.Array, lambda_: float
) -> jax.Array:
    """Lambda returns (Sutton and Barto 2018, equation 12.18).

    G_t = r_t + discount_t ((1 - lambda) v_{t+1} + lambda G_{t+1}). If the values are
    those of the greedy actions, these are the targets of Q(lambda) (Peng and Williams
    1996; Gallici et al. 2024, equation 17).

    Args:
      rewards: [time, env] float32. The reward after each action.
      values: [time + 1, env] float32. The last one is the bootstrap.
      discounts: [time, env] float32. It is 0 if the episode ended.
      lambda_: A number in [0, 1].

    Returns:
      [time, env] float32.
    """
    chex.assert_equal_shape([rewards, discounts, values[1:]])
    one_step = rewards + discounts * (1 - lambda_) * values[1:]
    return returns_to_go(one_step, discounts * lambda_, bootstrap=values[-1])


def advantages_and_targets(
    config, rewards: jax.Array, values: jax.Array, discounts: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes the algorithm's advantages and value targets.

    Args:
      config: It reads `algorithm`, `baseline` and `gae_lambda`.
      rewards: [time, env] float32.
      values: [time + 1, env] float32.
      discounts: [time, env] float32. It is 0 if the episode ended.

    Returns:
      Advantages and value targets, [time, env] float32 each.
    """
    if config.algorithm == "reinforce":
        baseline = values * config.baseline
        returns = returns_to_go(rewards, discounts, bootstrap=baseline[-1])
        return returns - baseline[:-1], returns
    advantages = gae(rewards, values, discounts, config.gae_lambda)
    return advantages, advantages + values[:-1]


def standardize(advantages: jax.Array) -> jax.Array:
    """Gives advantages mean 0 and deviation 1 over the batch of all devices."""
    mean = lax.pmean(jnp.mean(advantages), devices.AXIS)
    variance = lax.pmean(jnp.mean(jnp.square(advantages - mean)), devices.AXIS)
    return (advantages - mean) * lax.rsqrt(variance + 1e-8)
