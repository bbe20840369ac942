"""Trackers that show the numbers of runs: TensorBoard, trackio and Weights & Biases.

A resumed run adds to a tracker only what that lacks, so that no step is there twice.
"""

from collections.abc import Sequence
import contextlib
import importlib.util
import math
import os
import pathlib
import secrets
import sys
from typing import Any, Protocol

from tensorboardX import SummaryWriter

from dlx.errors import UserError

DEFAULT = ("tensorboard",)
_PROJECT = "dlx"


class Tracker(Protocol):
    """One tracker's part of a run.

    Attributes:
      last: The last step that the tracker has; -1 for none.
    """

    last: int

    def write(self, step: int, numbers: dict[str, float]) -> None: ...

    def close(self) -> None: ...


def require(names: Sequence[str]) -> None:
    """Checks the names of trackers.

    Raises:
      UserError: if a tracker is unknown or not installed.
    """
    for name in names:
        if name not in _TRACKERS:
            raise UserError(
                f"--tracker={name} is unknown; choose from {', '.join(_TRACKERS)}, none"
            )
        if name not in DEFAULT and importlib.util.find_spec(name) is None:
            raise UserError(
                f"--tracker={name}: {name} is not installed; "
                "pip install 'dlx[trackers]' installs it"
            )


class Trackers:
    """The numbers of a run in several trackers."""

    def __init__(
        self,
        names: Sequence[str],
        workdir: pathlib.Path,
        name: str,
        config: dict[str, Any],
        step: int,
        lines: Sequence[dict[str, Any]],
    ):
        """Opens the trackers, and adds the lines that they lack.

        Args:
          names: The names of the trackers.
          workdir: The run's folder.
          name: The run's name, for people.
          config: The run's config.
          step: The number of steps trained so far.
          lines: All lines of metrics.jsonl, including those from `step` on, which the
            run is about to write again.
        """
        self._known = {line["step"]: line for line in lines}
        run = _Run(workdir, name, config, step, is_new=not lines)
        self._trackers = [_TRACKERS[tracker](run) for tracker in names]
        for line in lines:
            if line["step"] < step:
                numbers = {name: n for name, n in line.items() if name != "step"}
                self.write(line["step"], numbers)

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Writes the finite numbers of one step that a tracker does not have."""
        finite = {name: n for name, n in numbers.items() if math.isfinite(n)}
        known = self._known.get(step, {})
        # The evaluation of a step may have been cut off from its first line.
        new = {name: n for name, n in finite.items() if name not in known}
        for tracker in self._trackers:
            if lacking := finite if step > tracker.last else new:
                tracker.write(step, lacking)

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()


class _Run:
    """The arguments of a tracker."""

    def __init__(self, workdir, name, config, step, is_new):
        self.workdir, self.name, self.config = workdir, name, config
        self.step, self._is_new = step, is_new

    @property
    def id(self) -> str:
        """A name for this run alone; it is kept in the run's folder."""
        path = self.workdir / "tracker_id"
        if self._is_new or not path.exists():
            path.write_text(secrets.token_hex(4), encoding="utf-8")
            self._is_new = False
        return path.read_text(encoding="utf-8").strip()


class _TensorBoard:
    def __init__(self, run):
        # It drops what it has from this step on, and has all that stands before.
        self.last = run.step - 1
        self._writer = SummaryWriter(
            str(run.workdir / "tensorboard"),
            purge_step=run.step or None,
            filename_suffix=f".from_{run.step}",
        )

    def write(self, step, numbers):
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)

    def close(self):
        self._writer.close()


class _Trackio:
    """A local database, in $TRACKIO_DIR, which `trackio show` serves."""

    def __init__(self, run):
        import trackio

        name = f"{run.name}-{run.id}"
        with contextlib.redirect_stdout(sys.stderr):
            self._run = trackio.init(
                _PROJECT,
                name=name,
                config=run.config,
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        last = trackio.SQLiteStorage.get_last_step(_PROJECT, name)
        self.last = -1 if last is None else last

    def write(self, step, numbers):
        self._run.log(numbers, step=step)

    def close(self):
        with contextlib.redirect_stdout(sys.stderr):
            self._run.finish()


class _Wandb:
    """Weights & Biases; without an account, files in WORKDIR/wandb."""

    def __init__(self, run):
        import wandb

        self._step = run.workdir / "wandb" / f"{run.id}.step"  # its own has no reader
        self.last = (
            int(self._step.read_text(encoding="utf-8")) if self._step.exists() else -1
        )
        has_account = "WANDB_MODE" in os.environ or wandb.api.api_key
        try:
            self._run = wandb.init(
                project=_PROJECT,
                id=run.id,
                name=run.name,
                dir=str(run.workdir),
                config=run.config,
                resume="allow",
                mode=None if has_account else "offline",
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.errors.Error as error:
            raise UserError(f"--tracker=wandb: {error}") from None

    def write(self, step, numbers):
        self._run.log(numbers, step=step)
        self._step.write_text(str(step), encoding="utf-8")

    def close(self):
        self._run.finish()


_TRACKERS = {"tensorboard": _TensorBoard, "trackio": _Trackio, "wandb": _Wandb}
