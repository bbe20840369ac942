"""Optimisers from configs."""

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
