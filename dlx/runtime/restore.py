"""A trained run, read back from its workdir."""

import dataclasses
import pathlib
from typing import Any

import ml_collections

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import devices, loop
from dlx.runtime.rundir import read_config
from dlx.runtime.task import State, Task


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run's task and config, and the state that a checkpoint of it holds."""

    task: Task
    config: Any
    keys: loop.Keys
    step: int
    state: State


def load(workdir: pathlib.Path, *, best: bool = True) -> Trained:
    """Reads a run; changes nothing in its workdir.

    Args:
      workdir: The run's folder.
      best: Whether to take the best checkpoint, not the newest.

    Raises:
      UserError: where there is no run, or no checkpoint of it.
    """
    config = ml_collections.ConfigDict(read_config(workdir))
    task, keys = tasks.make(config), loop.Keys(config.seed)
    abstract = devices.abstract(task, keys.init)
    with loop.open_checkpoints(task, workdir, read_only=True) as checkpoints:
        restored = checkpoints.restore(abstract, best=best)
    if restored is None:
        raise UserError(f"{workdir} holds no checkpoint yet")
    step, state, _ = restored
    state = devices.with_local(task, state, keys.init)
    return Trained(task, config, keys, step, state)
