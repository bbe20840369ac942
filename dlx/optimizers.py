"""Optimisers and schedules from configs, and averages of what they move."""

import chex
import jax
import jax.numpy as jnp
import optax


def linear(start: float, end: float, duration: int) -> optax.Schedule:
    """From start to end, linearly; a duration of 0 means the end value at once."""
    if duration == 0:
        return optax.constant_schedule(end)
    return optax.linear_schedule(start, end, duration)


def make(config, updates: int = 1) -> optax.GradientTransformation:
    """Adam with clipped gradients, its learning rate falling linearly to 0.

    Args:
      config: Its `learning_rate`, `max_grad_norm` and `num_steps` count.
      updates: Of the parameters in each of these steps.
    """
    learning_rate = linear(config.learning_rate, 0.0, config.num_steps * updates)
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm), optax.adam(learning_rate)
    )


def moving_average(
    now: chex.ArrayTree, average: chex.ArrayTree, decay: float, step: jax.Array
) -> chex.ArrayTree:
    """The exponential moving average after a step (Polyak and Juditsky 1992).

    As if it had begun at the first step, not at the first weights.

    Args:
      now: What is averaged.
      average: Of it, so far.
      decay: In the long run, at a step.
      step: [] int32, steps before this one.
    """
    decay = jnp.minimum(decay, step / (step + 10.0))
    return optax.incremental_update(now, average, 1.0 - decay)
