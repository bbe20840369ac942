"""The runs that make a sweep."""

import dataclasses
import importlib.util
import itertools
import json
import pathlib
import re
from typing import Any

from absl import logging
import jax

from dlx import paths, tasks
from dlx.errors import DivergedError, UserError, blame
from dlx.runtime import loop
from dlx.runtime.rundir import read_config, read_summary
from dlx.runtime.writers import to_json


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of the sweep: a cell with one seed, or with all of them together."""

    cell: tuple[tuple[str, str], ...]  # (axis, value as text)
    seeds: tuple[int, ...]
    config: Any
    workdir: pathlib.Path

    @property
    def name(self) -> str:
        seeds = ", ".join(map(str, self.seeds))
        return f"{', '.join(value for _, value in self.cell)}, seed {seeds}"


def make(sweep, workdir: pathlib.Path) -> list[Run]:
    """The sweep's runs: configs x variants x grid x seeds, in this order.

    Args:
      sweep: `configs`, paths, perhaps with what their `get_config` takes after a colon;
        perhaps `variants`, pairs of a name and overrides; perhaps `grid`,
        {field: values}, both nested as the configs are; `seeds`; `side_by_side`, to
        train all seeds of a cell in one program.
      workdir: The sweep's folder.

    Raises:
      UserError: where a config, a setting or a seed makes no run; nothing has been
        trained then.
    """
    variants = sweep.get("variants") or (("", {}),)
    axes = _leaves(sweep.get("grid") or {})
    seeds = tuple(sweep.seeds)
    side_by_side = sweep.get("side_by_side", False)
    groups = [seeds] if side_by_side else [(seed,) for seed in seeds]
    runs = []
    for path, (variant, pieces), *values in itertools.product(
        sweep.configs, variants, *axes.values()
    ):
        settings = dict(zip(axes, values, strict=True))
        cell = [("config", pathlib.Path(path).stem)]
        cell += [("setting", path.split(":")[1])] if ":" in path else []
        cell += [("variant", variant)] if variant else []
        cell += [(name, str(value)) for name, value in settings.items()]
        slug = "-".join(re.sub(r"\W+", "_", text) for _, text in cell)
        for group in groups:
            config = _read(path)
            with blame(f"{path}, {', '.join(text for _, text in cell[1:])}"):
                _override(config, _leaves(pieces) | settings)
            paths.resolve(config)
            config.seed = group[0]
            if side_by_side:
                config.seeds = group
            if group is groups[0]:  # the others differ in nothing that could be wrong
                tasks.make(config)
            folder = workdir / slug / "-".join(f"seed{seed}" for seed in group)
            runs.append(Run(tuple(cell), group, config, folder))
    if not runs or len({run.workdir for run in runs}) < len(runs):
        raise UserError("a sweep needs configs, seeds, and each but once")
    return runs


def train(run: Run) -> str | None:
    """Trains one run as far as it goes, and forgets what was compiled for it.

    Linux lets a process map 65,530 pieces of memory, and a run's programs take 1,500.

    Returns:
      How it diverged; None if it did not.
    """
    task = tasks.make(run.config)
    try:
        loop.train(task, run.config, run.workdir, name=run.name)
    except DivergedError as error:
        logging.warning("%s: %s", run.name, error)
        return str(error)
    finally:
        jax.clear_caches()
    return None


def is_done(run: Run) -> bool:
    """Whether the run's folder holds it, finished.

    Raises:
      UserError: where the folder holds another run.
    """
    if not (run.workdir / "config.json").exists():
        return False
    if read_config(run.workdir) != json.loads(to_json(run.config.to_dict())):
        raise UserError(
            f"{run.workdir} holds a run of other settings; give another --workdir"
        )
    return read_summary(run.workdir).get("status") == "done"


def _read(path):
    path, *argument = path.split(":")
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return module.get_config(*argument)
    except OSError as error:
        raise UserError(f"config.configs: {path}: {error.strerror}") from None
    except KeyError as error:
        raise UserError(f"config.configs: {path} knows no {error}") from None


def _override(config, settings):
    """Sets fields; names with dots reach into the config's own configs."""
    for name, value in settings.items():
        if not _has(config, name):
            raise ValueError(f"the config has no {name!r}")
        config.update_from_flattened_dict({name: value})


def _has(config, name):
    for part in name.split("."):
        if part not in config:
            return False
        config = config.get(part)
    return True


def _leaves(tree, prefix=""):
    """{'a': {'b': x}} -> {'a.b': x}."""
    flat = {}
    for name, value in tree.items():
        if hasattr(value, "items"):
            flat |= _leaves(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
