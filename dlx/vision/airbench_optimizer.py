"""Optimiser, schedule and lookahead of airbench (Jordan 2024, section 3)."""

import jax
import jax.numpy as jnp
import optax

from dlx import choices, optimizers

_LOOKAHEAD_STEPS = 5


def triangle(step, num_steps: int):
    """A schedule that rises from 0.2 to 1 at 23 % of the steps, and falls to 0.07."""
    peak = int(0.23 * num_steps)
    return jnp.interp(
        step, jnp.array([0.0, peak, num_steps]), jnp.array([0.2, 1, 0.07])
    )


def lookahead(fast, slow, step, num_steps: int):
    """Sets both weights to their weighted mean, every five steps.

    See section 3.4 and Zhang et al. (2019).

    Args:
      fast: The weights that the optimiser updates.
      slow: The weights that follow. Their share in the mean grows over the run.
      step: [] int32. The number of steps trained.
      num_steps: The number of steps of the run.

    Returns:
      The new fast and slow weights.
    """
    decay = 0.95**_LOOKAHEAD_STEPS * (step / num_steps) ** 3
    mean = optax.incremental_update(fast, slow, 1 - decay)
    due = step % _LOOKAHEAD_STEPS == 0

    def update(weights):
        return jax.tree.map(lambda m, w: jnp.where(due, m, w), mean, weights)

    return update(fast), update(slow)


def make_optimizer(config, params) -> optax.GradientTransformation:
    """Makes the optimiser, Nesterov SGD unless the config says otherwise.

    SGD's rate and decay are given for a loss summed over 1,024 examples. Other
    optimisers use both unchanged, because their updates do not grow with the loss.

    Args:
      config: Its learning_rate, bias_scale, weight_decay, momentum, batch_size,
        num_steps and whiten_bias_steps are read, and optimizer if it has one.
      params: The network's parameters.
    """
    choice = config.get("optimizer", "sgd")
    is_sgd = choices.read(choice)[0] == "sgd"
    scale = 1024 * (1 + 1 / (1 - config.momentum)) if is_sgd else 1
    decay = config.weight_decay * config.batch_size / scale

    def group(factor, until=config.num_steps):
        def shape(step):
            return jnp.where(step < until, triangle(step, config.num_steps), 0)

        rate = config.learning_rate / scale * factor
        return optimizers.make(
            choice,
            config.num_steps,
            learning_rate=rate,
            schedule=shape,
            weight_decay=decay / rate if is_sgd else config.weight_decay,
            momentum=config.momentum,
        )

    def name_of_group(path, _):
        names = [entry.key for entry in path]
        if names[0] == "whiten":
            return "frozen" if names[-1] == "kernel" else "whiten_bias"
        return "bias" if names[-1] == "bias" else "weight"

    return optax.multi_transform(
        {
            "frozen": optax.set_to_zero(),
            "whiten_bias": group(1, config.whiten_bias_steps),
            "bias": group(config.bias_scale),
            "weight": group(1),
        },
        jax.tree_util.tree_map_with_path(name_of_group, params),
    )
