"""Experiments by name: each module here has a `make(config) -> Task`."""

import importlib
import pkgutil
import types

from dlx import ensemble
from dlx.errors import UserError, require_positive
from dlx.task import Task


def module(config) -> types.ModuleType:
    """The module that `config.task` names; a UserError where there is none."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    name = config.get("task")
    if name not in names:
        raise UserError(f"config.task is {name!r}; there are: {', '.join(names)}")
    return importlib.import_module(f"{__name__}.{name}")


def make(config) -> Task:
    """The task that `config.task` names; `config.seeds`, if any, train side by side.

    Raises:
      UserError: where there is none of that name, or its config makes no sense.
    """
    task_module = module(config)
    require_positive(config, "num_steps")  # before schedules are made of it
    if config.num_steps >= 2**31:
        raise UserError(
            f"config.num_steps={config.num_steps} is too long; 2**31 - 1 is the most"
        )
    task = task_module.make(config)
    return ensemble.of(task, config.seeds) if config.get("seeds") else task
