"""summary.json: how a run stands."""

import importlib.metadata
import pathlib
import sys
from typing import Any

import jax

from dlx.runtime import provenance
from dlx.runtime.checkpoint import digest
from dlx.runtime.profiling import Stopwatch
from dlx.runtime.task import State, Task
from dlx.runtime.writers import to_json, write_whole

_PACKAGES = "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"


def summarize(
    task: Task,
    config,
    *,
    name: str,
    status: str,
    step: int,
    state: State | None,
    seconds: Stopwatch,
    evaluation: dict[str, float],
    data: str | None,
    **more: Any,
) -> dict[str, Any]:
    """Returns what summary.json says; BUILD.md lists its fields.

    Args:
      task: The task.
      config: Its config.
      name: The run's name.
      status: 'running', 'done', 'preempted' or 'failed'.
      step: The number of steps trained.
      state: The state, whose parameters get a digest; None for none.
      seconds: Seconds by activity.
      evaluation: The latest evaluation, {'eval/NAME': number}.
      data: The digest of the training data; None if there are none.
      **more: Further fields.
    """
    activities = seconds.activities()
    return {
        "task": config.task,
        "config": name,
        "status": status,
        **more,
        "step": step,
        "seed": config.seed,
        "metric": task.metric,
        "about": task.about,
        "compile_seconds": round(seconds["compile"], 3),
        "train_seconds": round(seconds["train"], 3),
        "wall_seconds": round(seconds.wall, 3),
        "seconds": {name: round(s, 3) for name, s in activities.items()},
        "goodput": round(activities["step"] / seconds.wall, 4),
        **{count: step * n for count, n in task.counts.items()},
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "device_kind": jax.devices()[0].device_kind,
        "versions": _versions(),
        "provenance": provenance.here(),
        "data_sha256": data,
        "params_sha256": None if state is None else digest(state.params),
        "metrics": {key.removeprefix("eval/"): n for key, n in evaluation.items()},
    }


def write(workdir: pathlib.Path, summary: dict[str, Any]) -> None:
    """Writes summary.json."""
    write_whole(workdir / "summary.json", to_json(summary, indent=2) + "\n")


def _versions():
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python} | {p: importlib.metadata.version(p) for p in _PACKAGES}
