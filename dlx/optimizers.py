"""Optimisers from configs, and averages of what they move."""

import chex
import jax
import jax.numpy as jnp
import optax


def make(config) -> optax.GradientTransformation:
    """Adam with clipped gradients, its learning rate falling linearly to 0.

    Args:
      config: Its `learning_rate`, `max_grad_norm` and `num_steps` count.
    """
    learning_rate = optax.linear_schedule(config.learning_rate, 0.0, config.num_steps)
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
