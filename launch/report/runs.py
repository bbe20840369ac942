"""Reads the runs below a folder; they may be complete, running, killed or damaged."""

from collections.abc import Iterator
import dataclasses
import functools
import math
import os
import pathlib
from typing import Any

from dlx.errors import UserError
from dlx.runtime import rundir, writers

PICTURES = {".png": "image/png", ".gif": "image/gif"}
SOUNDS = {".wav": "audio/wav"}
TEXTS = {".txt"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder and the files in it.

    Attributes:
      name: The folder's path below the root.
      folder: The folder's path.
      config: The resolved config; empty if it cannot be read.
      summary: The content of summary.json; empty if the file is missing.
      status: The summary's status, or 'running', or 'killed', or 'damaged: ' and the
        reason.
    """

    name: str
    folder: pathlib.Path
    config: dict[str, Any]
    summary: dict[str, Any]
    status: str

    @property
    def is_damaged(self) -> bool:
        return self.status.startswith("damaged")

    @functools.cached_property
    def lines(self) -> list[dict[str, Any]]:
        """The readable lines of metrics.jsonl."""
        try:
            return writers.read_lines(inside(self.folder, "metrics.jsonl"))
        except UserError:
            return []

    @property
    def seconds(self) -> float | None:
        """Seconds of training so far."""
        if self.lines:
            return self.lines[-1].get("train_seconds")
        return self.summary.get("train_seconds")

    @property
    def step(self) -> int | None:
        return self.lines[-1]["step"] if self.lines else self.summary.get("step")

    @property
    def metric(self) -> str:
        """The name of the run's most important metric; '' if it is unknown."""
        return self.summary.get("metric", "")

    @property
    def value(self) -> float | None:
        """The metric at the latest evaluation; None if it is missing or not finite."""
        name = f"eval/{self.metric}"
        values = [line[name] for line in self.lines if name in line]
        return values[-1] if values and math.isfinite(values[-1]) else None

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric; values that are not finite are left out."""
        points = [
            (line["step"], line[name])
            for line in self.lines
            if math.isfinite(line.get(name, math.nan))
        ]
        return [step for step, _ in points], [number for _, number in points]

    @property
    def curves(self) -> list[str]:
        """The names of all metrics, evaluations before training."""
        names = {name for line in self.lines for name in line} - {"step"}
        return sorted(names, key=lambda name: (not name.startswith("eval/"), name))

    def figures(self) -> list[pathlib.Path]:
        """The run's figures; only the last frame of an unfinished animation."""
        folder = self.folder / "figures"
        kinds = PICTURES.keys() | SOUNDS | TEXTS
        figures = [path for path in _files(folder) if path.suffix in kinds]
        finished = {path.stem for path in figures}
        for part in _folders(folder):
            frames = [path for path in _files(part) if path.suffix in PICTURES]
            if frames and part.name not in finished:
                figures.append(frames[-1])
        return figures

    def frames(self) -> dict[str, list[pathlib.Path]]:
        """The pictures drawn at evaluations, in order: {name: paths}."""
        parts = _folders(self.folder / "figures")
        frames = {
            part.name: [p for p in _files(part) if p.suffix in PICTURES]
            for part in parts
        }
        return {name: paths for name, paths in frames.items() if paths}


def find(root: pathlib.Path) -> list[Run]:
    """Finds all runs below a root, the latest first; follows no symbolic links."""
    all_runs = [read(root, folder) for folder in _workdirs(root)]
    return sorted(all_runs, key=lambda run: _touched(run.folder), reverse=True)


def read(root: pathlib.Path, folder: pathlib.Path) -> Run:
    """Reads one run. Errors are reported in its status."""
    name = folder.relative_to(root).as_posix()
    name = folder.name if name == "." else name
    config, summary = {}, {}
    try:
        inside(folder, "config.json")
        config = rundir.read_config(folder)
        if not isinstance(config, dict) or not isinstance(config.get("task"), str):
            raise UserError("config.json is not a run's config")
        summary = _summary(folder)
        status = _status(folder, summary)
    except (OSError, UserError) as error:
        status = f"damaged: {str(error).removeprefix(f'{folder}/')}"
    return Run(name, folder, config, summary, status)


def named(root: pathlib.Path, name: str) -> Run:
    """Reads the run that a user names.

    Raises:
      UserError: if there is no run of that name below the root.
    """
    folder = inside(root, name)
    if not (folder / "config.json").is_file():
        raise UserError(f"no run {name!r} below {root}")
    return read(root, folder)


def inside(root: pathlib.Path, name: str) -> pathlib.Path:
    """Joins a folder and a relative path that must stay inside the folder.

    Raises:
      UserError: if the path is absolute or contains '..' or a symbolic link.
    """
    parts = pathlib.PurePosixPath(name).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or "\0" in name:
        raise UserError(f"{name!r} is not a path below {root.name}")
    path = root.joinpath(*parts)
    try:
        is_inside = path.resolve() == root.resolve().joinpath(*parts)
    except RuntimeError:  # a loop of symbolic links, before Python 3.13
        is_inside = False
    if not is_inside:
        raise UserError(f"{name!r} leads out of {root.name}")
    return path


def differences(first: Run, second: Run) -> list[tuple[str, Any, Any]]:
    """Fields in which two configs differ: (name with dots, first value, second)."""
    return rundir.differences(first.config, second.config)


def _workdirs(root) -> Iterator[pathlib.Path]:
    """Folders that hold a run; their subfolders are skipped."""
    for folder, below, files in os.walk(root):
        if "config.json" in files or "checkpoints" in below:
            below.clear()
            yield pathlib.Path(folder)


def _summary(folder):
    inside(folder, "summary.json")
    return rundir.read_summary(folder)


def _status(folder, summary):
    locked = rundir.is_locked(folder)  # None if unknown
    if locked:
        return "running"
    status = str(summary.get("status", "killed"))
    return "killed" if status == "running" and locked is False else status


def _touched(folder):
    """The time of the last change."""
    times = [0.0]
    for name in "config.json", "metrics.jsonl", "summary.json":
        try:
            times.append((folder / name).lstat().st_mtime)
        except OSError:
            continue
    return max(times)


def _files(folder):
    """A folder's files in the order of their names, without symbolic links."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.is_symlink())


def _folders(folder):
    """A folder's subfolders in the order of their names, without symbolic links."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
