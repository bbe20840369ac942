"""Reads a trained run back from its workdir."""

from collections.abc import Callable
import dataclasses
import pathlib
from typing import Any

import ml_collections

from dlx import streams
from dlx.errors import UserError
from dlx.runtime import checkpoint, devices, published
from dlx.runtime.rundir import read_config
from dlx.runtime.task import State, Task


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run's task, config and keys, and the step and state of a checkpoint."""

    task: Task
    config: Any
    keys: streams.Keys
    step: int
    state: State


def load(
    workdir: pathlib.Path | str, make: Callable[[Any], Task], *, best: bool = True
) -> Trained:
    """Reads a run and changes nothing in its workdir.

    Args:
      workdir: The run's folder, or that of a published run, or hf:OWNER/NAME, a
        published run that is downloaded.
      make: Builds the task from the run's config: `tasks.make`, or one task's own.
      best: Whether to take the best checkpoint, not the newest.

    Raises:
      UserError: if there is no run, or it has no checkpoint yet; or if the config of a
        run of the hub names code to import.
    """
    workdir = pathlib.Path(workdir)
    if str(workdir).startswith(published.HUB):
        name, workdir = str(workdir), published.fetch(str(workdir))
        published.require_no_imports(name, read_config(workdir))
    config = ml_collections.ConfigDict(read_config(workdir))
    task, keys = make(config), streams.Keys(config.seed)
    if published.is_published(workdir):
        return Trained(task, config, keys, *published.read(workdir, task, keys))
    abstract = devices.abstract(task, keys.init)
    with checkpoint.of_run(task, workdir, read_only=True) as checkpoints:
        restored = checkpoints.restore(abstract, best=best)
    if restored is None:
        raise UserError(f"{workdir} holds no checkpoint yet")
    step, state, _ = restored
    state = devices.with_local(task, state, keys.init)
    return Trained(task, config, keys, step, state)
