"""Experiments by name: each has a module with `make(config) -> Task`."""

import importlib
import types

from dlx.errors import UserError, require_positive
from dlx.runtime import seeds
from dlx.runtime.task import Task

OURS = {
    "airbench": "dlx.vision.airbench",
    "classifier": "dlx.vision.classifier",
    "dqn": "dlx.rl.dqn",
    "fast_style": "dlx.style.feedforward",
    "gan": "dlx.generative.gan.task",
    "numpy_mlp": "dlx.vision.numpy_mlp",
    "policy_gradient": "dlx.rl.policy_gradient",
    "style": "dlx.style.optimise",
    "vae": "dlx.generative.vae.task",
}


def module(config) -> types.ModuleType:
    """The module that `config.task` names; a UserError where there is none."""
    name = config.get("task")
    if name not in OURS:
        raise UserError(f"config.task is {name!r}; there are: {', '.join(OURS)}")
    return importlib.import_module(OURS[name])


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
    return seeds.of(task, config.seeds) if config.get("seeds") else task
