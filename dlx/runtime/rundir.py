"""A run's folder: config, summary, lock, free space."""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from typing import IO, Any

from absl import logging
import jax

from dlx import paths
from dlx.errors import UserError
from dlx.runtime.task import State
from dlx.runtime.writers import numbers, to_json, write_whole

_LOCKS = pathlib.Path("/proc/locks")
_SPACE = 2**20  # bytes for everything but checkpoints
# Fields that older runs' configs know by another name, and such values.
_RENAMED = {"kind": "modality", "judge": "reference_classifier", "views": "d_inputs"}
_VALUES = {("modality", "pictures"): "images"}
# Types of the fields that programs read from a summary; any may be missing.
_SUMMARY = {
    **dict.fromkeys(("task", "config", "status", "metric", "params_sha256"), str),
    **dict.fromkeys(("step", "seed"), int),
    **dict.fromkeys(("train_seconds", "wall_seconds", "compile_seconds"), int | float),
    "metrics": dict,
}


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads a run's config.json; fields of older runs get their current names.

    Raises:
      UserError: if it is missing or damaged.
    """
    path = workdir / "config.json"
    try:
        config = json.loads(paths.read_text(path))
        if not isinstance(config, dict) or not isinstance(config.get("task"), str):
            raise ValueError("it is not a config")
    except FileNotFoundError:
        raise UserError(f"{workdir} holds no run: {path.name} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    config = {_RENAMED.get(name, name): value for name, value in config.items()}
    return config | {
        name: value for (name, old), value in _VALUES.items() if config.get(name) == old
    }


def read_summary(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads a run's summary.json, null as NaN; returns {} if it is missing.

    Raises:
      UserError: if it is damaged.
    """
    path = workdir / "summary.json"
    try:
        summary = json.loads(paths.read_text(path))
        if not isinstance(summary, dict):
            raise ValueError("it is not a summary")
        for name, kind in _SUMMARY.items():
            if not isinstance(summary.get(name), kind | None):
                raise ValueError(f"{name!r} is {summary[name]!r:.60}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    return summary | {"metrics": numbers(summary.get("metrics"))}


def require_own(workdir: pathlib.Path, config: Any, resume: bool) -> None:
    """Makes the workdir, or checks that it holds this run.

    Raises:
      UserError: if it holds another run, or cannot be written to.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".writable").touch()
        (workdir / ".writable").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write in {workdir}: {error.strerror}") from None
    begun = (workdir / "config.json").exists()
    if not begun and not any((workdir / "checkpoints").glob("[0-9]*")):
        return  # nothing, or a run that was killed at its start
    if not resume:
        raise UserError(
            f"{workdir} already holds a run; resume it with --resume or give another "
            "--workdir"
        )
    existing = read_config(workdir)
    for field in ("task", "seed"):
        if existing.get(field) != config[field]:
            raise UserError(
                f"{workdir} holds a run with {field}={existing.get(field)}, not "
                f"{config[field]}; give another --workdir"
            )


def write_config(workdir: pathlib.Path, config: Any) -> None:
    """Writes config.json."""
    text = to_json(config.to_dict(), indent=2) + "\n"
    write_whole(workdir / "config.json", text)


def lock(workdir: pathlib.Path) -> IO[str]:
    """Locks the workdir until the returned file is closed or the process ends.

    Raises:
      UserError: if another process holds the lock.
    """
    file = (workdir / ".lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(f"another process is already running in {workdir}") from None
    except OSError as error:  # a file system without locks
        logging.warning("%s cannot be locked: %s", workdir, error.strerror)
    return file


def is_locked(workdir: pathlib.Path) -> bool | None:
    """Whether a process of this machine holds the lock; None if that is unknown.

    It reads the kernel's list, because taking the lock could stop a starting run.
    """
    try:
        stat = (workdir / ".lock").stat()
        locks = [
            line.split() for line in _LOCKS.read_text(encoding="utf-8").splitlines()
        ]
    except OSError:
        return None
    # A file of another file system may have the same inode.
    on_file = [lock for lock in locks if lock[5].split(":")[-1] == str(stat.st_ino)]
    return any(_has_open(lock[4], stat) for lock in on_file)


def _has_open(process, stat):
    """Whether a process has a file open; True if that cannot be read."""
    try:
        opened = list(pathlib.Path("/proc", process, "fd").iterdir())
    except OSError:
        return True
    for file in opened:
        with contextlib.suppress(OSError):  # it was closed meanwhile
            if os.path.samestat(file.stat(), stat):
                return True
    return False


def require_space(workdir: pathlib.Path, state: State, saved: int | None) -> None:
    """Checks that a checkpoint fits on the disk, before it is written.

    Args:
      workdir: The run's folder.
      state: The state to save.
      saved: The step of the last checkpoint, or None.

    Raises:
      UserError: if it does not fit.
    """
    needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _SPACE
    free = shutil.disk_usage(workdir).free
    if free < needed:
        last = "there is none yet" if saved is None else f"the last is of step {saved}"
        raise UserError(
            f"no space for a checkpoint in {workdir}: "
            f"{(needed - free) / 2**20:.1f} MiB are missing; {last}"
        )


def warn_of_changes(workdir: pathlib.Path, config: Any) -> None:
    """Warns of config fields that differ from the run's earlier config."""
    before = read_config(workdir)
    now = json.loads(to_json(config.to_dict()))
    changed = differences(before, now)
    if changed:
        fields = ", ".join(f"{name} {old} -> {new}" for name, old, new in changed)
        logging.warning("resuming with changed config fields: %s", fields)


def differences(
    first: dict[str, Any], second: dict[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Lists (field, first's value, second's value) of two configs' differences."""
    one, other = _flat(first), _flat(second)
    return [
        (field, one.get(field, "-"), other.get(field, "-"))
        for field in sorted(one.keys() | other)
        if one.get(field, "-") != other.get(field, "-")
    ]


def _flat(config, before=""):
    flat = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


def saved(workdir: pathlib.Path) -> str:
    """Names the newest complete checkpoint of a run, as a line of text."""
    names = [path.name for path in (workdir / "checkpoints").glob("[0-9]*")]
    steps = [int(name) for name in names if name.isdigit()]
    if not steps:
        return f"{workdir} has no checkpoint yet"
    return f"the newest checkpoint in {workdir} is of step {max(steps)}"
