"""Experiments by name: dlx's own, or any module that can be imported.

An experiment is a module with `make(config) -> Task`. It may also have `abilities`, an
instance of `Abilities`, and FIELDS, the valid values of its config's fields
(dlx/fields.py). `config.task` is one of dlx's short names or an import path, such as
"my_package.my_task"; the latter needs no change here.
"""

import contextlib
import traceback
import types

from dlx import choices, fields
from dlx.errors import UserError
from dlx.runtime import checks, seeds
from dlx.runtime.task import Abilities, Task

OURS = {
    "airbench": "dlx.vision.airbench",
    "classifier": "dlx.vision.classifier",
    "dqn": "dlx.rl.dqn",
    "fast_style": "dlx.style.feedforward",
    "flow": "dlx.generative.flow.task",
    "gan": "dlx.generative.gan.task",
    "language": "dlx.generative.language.task",
    "numpy_mlp": "dlx.vision.numpy_mlp",
    "policy_gradient": "dlx.rl.policy_gradient",
    "pqn": "dlx.rl.pqn",
    "style": "dlx.style.optimise",
    "vae": "dlx.generative.vae.task",
}


def module(config) -> types.ModuleType:
    """Imports the module that `config.task` names.

    Raises:
      UserError: if there is no such module, or it has no `make`.
    """
    name = config.get("task")
    path = OURS.get(name, name)
    if not isinstance(path, str) or "." not in path or not choices.exists(path):
        raise UserError(
            f"config.task is {name!r}; it must be an import path of a module with "
            f"make(config), or one of: {', '.join(OURS)}"
        )
    task_module = choices.imported(path)
    if not hasattr(task_module, "make"):
        raise UserError(f"config.task is {name!r}, which has no make(config)")
    return task_module


def make(config) -> Task:
    """Builds the task that `config.task` names; `config.seeds` train side by side.

    `config.settings`, {field: values}, multiplies the seeds by further members.

    Raises:
      UserError: if there is no such task, or its config is invalid.
    """
    task_module = module(config)
    fields.check(config, checks.FIELDS | seeds.FIELDS | fields_of(task_module))
    with _missing_fields(config):
        if config.get("settings") and not config.get("seeds"):
            raise UserError("config.settings needs config.seeds")
        if not config.get("seeds"):
            return task_module.make(config)
        for member in seeds.members(config):
            own = seeds.configured(config, member.settings)
            fields.check(own, fields_of(task_module))
        return seeds.of(task_module.make, config)


def fields_of(task_module: types.ModuleType) -> dict[str, fields.Field]:
    """The valid values of the config's fields that the module lists."""
    return getattr(task_module, "FIELDS", {})


def abilities(config) -> Abilities:
    """The abilities of a run with this config; none if seeds train side by side.

    Raises:
      UserError: if there is no such task.
    """
    if config.get("seeds"):
        return Abilities()
    return getattr(module(config), "abilities", Abilities())


@contextlib.contextmanager
def _missing_fields(config):
    """Re-raises the error of a field that the config lacks as UserError."""
    try:
        yield
    except AttributeError as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not frames[-1].filename.endswith("config_dict.py"):
            raise
        names = str(error).strip("\"'")
        raise UserError(
            f"the config has no {names!r}, which task {config.task!r} needs"
        ) from error
