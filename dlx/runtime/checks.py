"""Checks of a run's schedule and of its training metrics."""

import hashlib

import numpy as np

from dlx import fields
from dlx.errors import DivergedError, UserError
from dlx.runtime import processes
from dlx.runtime.writers import to_json

FIELDS = {
    "seed": fields.integer(0, 2**32 - 1),
    "num_steps": fields.integer(),
    "log_steps": fields.integer(),
    "eval_steps": fields.integer(),
    "checkpoint_steps": fields.integer(),
    "keep_checkpoints": fields.integer(),
    "parallel": fields.choice("pmap", "shard_map"),
}


def require_schedule(config) -> None:
    """Checks the loop's fields, and that all lengths are multiples of `log_steps`.

    Raises:
      UserError: if a value is invalid.
    """
    fields.check(config, FIELDS)
    for length in ("num_steps", "eval_steps", "checkpoint_steps"):
        if config[length] % config.log_steps:
            raise UserError(
                f"config.{length}={config[length]} is not a multiple of "
                f"config.log_steps={config.log_steps}, the steps of one call"
            )


def require_same_config(config) -> None:
    """Checks that all processes have the same config.

    Raises:
      UserError: if they differ.
    """
    text = to_json(config.to_dict())
    digest = hashlib.sha256(text.encode()).hexdigest()
    processes.require_same("the config", digest, UserError)


def require_whole_calls(step: int, config) -> None:
    """Checks that a restored step is a multiple of `log_steps`.

    Raises:
      UserError: if it is not.
    """
    if step % config.log_steps:
        raise UserError(
            f"the checkpoint is of step {step}, which is not a multiple of "
            f"config.log_steps={config.log_steps}, the steps of one call"
        )


def require_same_data(before: str | None, now: str | None) -> None:
    """Checks that a run's training data have the digest that they had before.

    Raises:
      UserError: if both digests are known and differ.
    """
    if before and now and before != now:
        raise UserError(
            f"the run has trained on other data (SHA-256 {before[:12]}..., now "
            f"{now[:12]}...); give it the same data, or another --workdir"
        )


def require_finite(metrics: dict[str, np.ndarray], step: int) -> None:
    """Checks the metrics of the steps after `step`.

    Args:
      metrics: {name: [steps] float32}.
      step: The number of steps before them.

    Raises:
      DivergedError: if a metric is not finite; it names the first such step.
    """
    wrong = {name: ~np.isfinite(values) for name, values in metrics.items()}
    steps = np.any(list(wrong.values()), axis=0)
    if steps.any():
        first = np.argmax(steps)
        name = next(n for n in ("loss", *wrong) if wrong[n][first])
        raise DivergedError(
            f"{name} is {metrics[name][first]} at step {step + first + 1}; the last "
            "good checkpoint is kept (a lower learning rate may help)"
        )
