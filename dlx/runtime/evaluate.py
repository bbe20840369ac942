"""Evaluates a state of any task."""

import math

from absl import logging
import jax

from dlx import streams
from dlx.runtime import devices
from dlx.runtime.task import State, Task


def evaluate(
    task: Task, keys: streams.Keys, step: int, state: State
) -> dict[str, float]:
    """Evaluates a state on one device: {'eval/NAME': number}.

    Warns if a number is not finite.
    """
    metrics = task.evaluate(devices.first_copy(task, state), keys.evaluate(step))
    metrics = {f"eval/{name}": float(n) for name, n in jax.device_get(metrics).items()}
    wrong = [f"{name} is {n}" for name, n in metrics.items() if not math.isfinite(n)]
    if wrong:
        logging.warning("step %d: %s", step, ", ".join(wrong))
    return metrics
