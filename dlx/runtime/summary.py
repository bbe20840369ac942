"""summary.json: the status, times and results of a run."""

import importlib.metadata
import pathlib
import sys
from typing import Any

import jax

from dlx.runtime import processes, provenance
from dlx.runtime.digests import digest
from dlx.runtime.profiling import Stopwatch
from dlx.runtime.task import State, Task
from dlx.runtime.writers import to_json, write_whole

_PACKAGES = "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"


class Summary:
    """The contents of a run's summary.json; BUILD.md lists its fields.

    Attributes:
      fields: The latest contents.
    """

    def __init__(
        self,
        task: Task,
        config,
        workdir: pathlib.Path,
        name: str,
        seconds: Stopwatch,
        data: str | None,
    ):
        """Collects the fields that stay the same for the whole run.

        Args:
          task: The task.
          config: Its config.
          workdir: The run's folder.
          name: The run's name.
          seconds: Seconds by activity.
          data: The digest of the training data; None without training data.
        """
        self._task, self._config, self._workdir = task, config, workdir
        self._name, self._seconds, self._data = name, seconds, data
        self.fields = {}

    def write(
        self,
        status: str,
        step: int,
        state: State,
        evaluation: dict[str, float],
        **more: Any,
    ) -> None:
        """Writes summary.json; of several processes, only the first does.

        Args:
          status: 'running', 'done', 'preempted' or 'failed'.
          step: The number of steps trained.
          state: The state. At the end of a run its parameters get a digest.
          evaluation: The latest evaluation, {'eval/NAME': number}.
          **more: Further fields.
        """
        task, seconds = self._task, self._seconds
        has_ended = status not in ("running", "failed")
        activities = seconds.activities()
        wall = sum(activities.values())  # read once, so that the parts add up
        self.fields = {
            "task": self._config.task,
            "config": self._name,
            "status": status,
            **more,
            "step": step,
            "seed": self._config.seed,
            "metric": task.metric,
            "about": task.about,
            "compile_seconds": round(seconds["compile"], 3),
            "train_seconds": round(seconds["train"], 3),
            "wall_seconds": round(wall, 3),
            "seconds": {name: round(s, 3) for name, s in activities.items()},
            "goodput": round(activities["step"] / wall, 4),
            **{count: step * n for count, n in task.counts.items()},
            "devices": jax.device_count(),
            "processes": jax.process_count(),
            "device_kind": jax.devices()[0].device_kind,
            "versions": _versions(),
            "provenance": provenance.here(),
            "data_sha256": self._data,
            "params_sha256": digest(state.params) if has_ended else None,
            "metrics": {key.removeprefix("eval/"): n for key, n in evaluation.items()},
        }
        if processes.first():
            text = to_json(self.fields, indent=2) + "\n"
            write_whole(self._workdir / "summary.json", text)


def _versions():
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python} | {p: importlib.metadata.version(p) for p in _PACKAGES}
