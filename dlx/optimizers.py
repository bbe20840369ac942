"""Optimisers, schedules and moving averages of parameters."""

import chex
import jax
import jax.numpy as jnp
import optax

from dlx import fields

FIELDS = {
    "learning_rate": fields.real(above=0),
    "max_grad_norm": fields.real(above=0),
}


def linear(start: float, end: float, duration: int) -> optax.Schedule:
    """A linear schedule; a duration of 0 gives the end value at once."""
    if duration == 0:
        return optax.constant_schedule(end)
    return optax.linear_schedule(start, end, duration)


def make(config, updates: int = 1) -> optax.GradientTransformation:
    """Adam with clipped gradients and a learning rate that falls linearly to 0.

    Args:
      config: It reads `learning_rate`, `max_grad_norm` and `num_steps`.
      updates: The number of updates in each step.
    """
    learning_rate = linear(config.learning_rate, 0.0, config.num_steps * updates)
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm), optax.adam(learning_rate)
    )


def moving_average(
    now: chex.ArrayTree, average: chex.ArrayTree, decay: float, step: jax.Array
) -> chex.ArrayTree:
    """The exponential moving average after a step (Polyak and Juditsky 1992).

    The decay is smaller at first, so that the initial weights are soon forgotten.

    Args:
      now: The current values.
      average: The current average.
      decay: Its asymptotic decay per step.
      step: [] int32. The number of steps before this one.
    """
    decay = jnp.minimum(decay, step / (step + 10.0))
    return optax.incremental_update(now, average, 1.0 - decay)
