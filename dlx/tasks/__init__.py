"""Experiments by name: each module here has a `make(config) -> Task`."""

import importlib
import pkgutil

from dlx.errors import UserError
from dlx.task import Task


def make(config) -> Task:
    """The task that `config.task` names.

    Raises:
      UserError: where there is none of that name, or its config makes no sense.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    name = config.get("task")
    if name not in names:
        raise UserError(f"config.task is {name!r}; there are: {', '.join(names)}")
    return importlib.import_module(f"{__name__}.{name}").make(config)
