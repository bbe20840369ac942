"""The runs below a folder, as they lie there, whole or not, for whoever shows them."""

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
    """A run's folder and what is written there.

    Attributes:
      name: The folder's path below the root.
      folder: Its path.
      config: As resolved; empty where it cannot be read.
      summary: As in summary.json; empty where there is none yet.
      status: The summary's, or 'killed', or 'damaged: ' and why.
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
        """Of metrics.jsonl, those that can be read."""
        try:
            return writers.read_lines(inside(self.folder, "metrics.jsonl"))
        except UserError:
            return []

    @property
    def seconds(self) -> float | None:
        """Of training, so far."""
        if self.lines:
            return self.lines[-1].get("train_seconds")
        return self.summary.get("train_seconds")

    @property
    def step(self) -> int | None:
        return self.lines[-1]["step"] if self.lines else self.summary.get("step")

    @property
    def metric(self) -> str:
        """The name of the number that matters most; '' where nothing says so."""
        return self.summary.get("metric", "")

    @property
    def value(self) -> float | None:
        """That number at the latest evaluation; None if it is missing there."""
        name = f"eval/{self.metric}"
        found = [line[name] for line in self.lines if name in line]
        return found[-1] if found and math.isfinite(found[-1]) else None

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps, and one of the metrics there; what is not finite is left out."""
        points = [
            (line["step"], line[name])
            for line in self.lines
            if math.isfinite(line.get(name, math.nan))
        ]
        return [step for step, _ in points], [number for _, number in points]

    @property
    def curves(self) -> list[str]:
        """Names of all metrics, evaluations before training."""
        names = {name for line in self.lines for name in line} - {"step"}
        return sorted(names, key=lambda name: (not name.startswith("eval/"), name))

    def figures(self) -> list[pathlib.Path]:
        """What was drawn, of a moving picture that is still being made the last one."""
        folder = self.folder / "figures"
        kinds = PICTURES.keys() | SOUNDS | TEXTS
        found = [path for path in _files(folder) if path.suffix in kinds]
        done = {path.stem for path in found}
        for part in _folders(folder):
            frames = [path for path in _files(part) if path.suffix in PICTURES]
            if frames and part.name not in done:
                found.append(frames[-1])
        return found

    def frames(self) -> dict[str, list[pathlib.Path]]:
        """Pictures drawn during training, in order, by name."""
        parts = _folders(self.folder / "figures")
        frames = {
            part.name: [p for p in _files(part) if p.suffix in PICTURES]
            for part in parts
        }
        return {name: paths for name, paths in frames.items() if paths}


def find(root: pathlib.Path) -> list[Run]:
    """All runs below a root, the latest first; symbolic links are not followed."""
    found = [read(root, folder) for folder in _workdirs(root)]
    return sorted(found, key=lambda run: _touched(run.folder), reverse=True)


def read(root: pathlib.Path, folder: pathlib.Path) -> Run:
    """One run; whatever is wrong with it is its status."""
    name = folder.relative_to(root).as_posix()
    name = folder.name if name == "." else name
    config, summary = {}, {}
    try:
        inside(folder, "config.json")
        config = rundir.read_config(folder)
        if not isinstance(config, dict) or not isinstance(config.get("task"), str):
            raise UserError("config.json is no config of a run")
        summary = _summary(folder)
        status = _status(folder, summary)
    except (OSError, UserError) as error:
        status = f"damaged: {str(error).removeprefix(f'{folder}/')}"
    return Run(name, folder, config, summary, status)


def named(root: pathlib.Path, name: str) -> Run:
    """The run of a name that somebody has given.

    Raises:
      UserError: where there is none below the root.
    """
    folder = inside(root, name)
    if not (folder / "config.json").is_file():
        raise UserError(f"no run is called {name!r}")
    return read(root, folder)


def inside(root: pathlib.Path, name: str) -> pathlib.Path:
    """A path below a folder, by no way that leads out of it.

    Raises:
      UserError: where it is absolute, climbs by '..', or is or passes a symbolic link.
    """
    parts = pathlib.PurePosixPath(name).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or "\0" in name:
        raise UserError(f"{name!r} is no path below {root.name}")
    path = root.joinpath(*parts)
    if path.resolve() != root.resolve().joinpath(*parts):
        raise UserError(f"{name!r} leads out of {root.name}")
    return path


def differences(first: Run, second: Run) -> list[tuple[str, Any, Any]]:
    """(field, one's, the other's) where two configs differ, nested ones with dots."""
    return rundir.differences(first.config, second.config)


def _workdirs(root) -> Iterator[pathlib.Path]:
    """Folders that hold a run; nothing below one is looked at."""
    for folder, below, files in os.walk(root):
        if "config.json" in files or "checkpoints" in below:
            below.clear()
            yield pathlib.Path(folder)


def _summary(folder):
    inside(folder, "summary.json")
    return rundir.read_summary(folder)


def _status(folder, summary):
    locked = rundir.is_locked(folder)
    if locked:
        return "running"
    status = str(summary.get("status", "killed"))
    return "killed" if status == "running" and locked is False else status


def _touched(folder):
    times = [0.0]
    for name in "config.json", "metrics.jsonl", "summary.json":
        try:
            times.append((folder / name).lstat().st_mtime)
        except OSError:
            continue
    return max(times)


def _files(folder):
    """In the order of their names; no symbolic links."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.is_symlink())


def _folders(folder):
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
