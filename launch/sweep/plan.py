"""The runs of a sweep."""

import dataclasses
import itertools
import json
import pathlib
import re
from typing import Any

from absl import logging
import jax
import ml_collections

from dlx import choices, paths, tasks
from dlx.errors import DivergedError, UserError, user_error_in
from dlx.runtime import loop
from dlx.runtime.rundir import read_config, read_summary
from dlx.runtime.seeds import members
from dlx.runtime.writers import to_json, write_whole

from .. import shipped

_RECORD = "sweep.json"
_COMPARED = "metric", "target", "also"  # what a comparison reads of a sweep

Cell = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Run:
    """One program of the sweep: a cell with one seed, or several of them side by side.

    Attributes:
      cell: (axis, value as text) of every axis of the sweep but the vectorized ones.
      seeds: The random seeds.
      config: The resolved config.
      workdir: The run's folder.
    """

    cell: Cell
    seeds: tuple[int, ...]
    config: Any
    workdir: pathlib.Path

    @property
    def name(self) -> str:
        seeds = ", ".join(map(str, self.seeds))
        return f"{', '.join(value for _, value in self.cell)}, seed {seeds}"

    @property
    def members(self) -> list[tuple[Cell, int, str]]:
        """The cell, seed and metrics' ending of each training in the program."""
        if "seeds" not in self.config:
            return [(self.cell, seed, "") for seed in self.seeds]
        return [
            (self.cell + _texts(dict(member.settings)), member.seed, f"/{member.label}")
            for member in members(self.config)
        ]


def make(sweep, workdir: pathlib.Path) -> list[Run]:
    """Makes the sweep's runs: configs x variants x grid x seeds, in this order.

    Args:
      sweep: Has `configs` and `seeds`. `configs` are paths, each optionally followed by
        a colon and the argument of its `get_config`, or pairs of such a path and
        overrides of that config alone. Optional are `variants`, pairs of a name and
        overrides; `grid`, {field: values}; `side_by_side`, which trains all seeds of a
        cell in one program; and `vectorized`, {field: numbers}, a grid that is trained
        in one program, with all seeds. Overrides and grid are nested like the configs;
        vectorized fields are not nested.
      workdir: The sweep's folder.

    Raises:
      UserError: if a config, a setting or a seed is invalid. All are verified before
        anything is trained.
    """
    variants = sweep.get("variants") or (("", {}),)
    axes = _leaves(sweep.get("grid") or {})
    seeds = tuple(sweep.seeds)
    vectorized = sweep.get("vectorized") or {}
    side_by_side = sweep.get("side_by_side", False) or bool(vectorized)
    groups = [seeds] if side_by_side else [(seed,) for seed in seeds]
    runs = []
    for entry, (variant, overrides), *values in itertools.product(
        sweep.configs, variants, *axes.values()
    ):
        path, own = (entry, {}) if isinstance(entry, str) else entry
        settings = dict(zip(axes, values, strict=True))
        cell = _cell(path, own, variant, settings)
        slug = "-".join(re.sub(r"\W+", "_", text) for _, text in cell)
        for group in groups:
            config = _read(path)
            with user_error_in(f"{path}, {', '.join(text for _, text in cell[1:])}"):
                _override(config, _leaves(own) | _leaves(overrides) | settings)
            paths.resolve(config)
            config.seed = group[0]
            if side_by_side:
                config.seeds = group
            if vectorized:
                config.settings = vectorized
            if group is groups[0]:  # other seeds have the same settings
                tasks.make(config)  # raises UserError if a setting is invalid
            folder = workdir / slug / "-".join(f"seed{seed}" for seed in group)
            runs.append(Run(cell, group, config, folder))
    if not runs or len({run.workdir for run in runs}) < len(runs):
        raise UserError("a sweep needs configs and seeds, without duplicates")
    return runs


def _cell(path, own, variant, settings):
    """(axis, value as text) of every axis."""
    path, *setting = path.split(":")
    setting += [f"{name}={value}" for name, value in _leaves(own).items()]
    cell = [("config", pathlib.Path(path).stem)]
    cell += [("setting", ", ".join(setting))] if setting else []
    cell += [("variant", variant)] if variant else []
    return tuple(cell) + _texts(settings)


def _texts(settings):
    return tuple((name, str(value)) for name, value in settings.items())


def train(run: Run) -> str | None:
    """Trains one run and then frees its compiled programs.

    A process can have 65,530 memory maps on Linux, and a run's programs take 1,500.

    Returns:
      The reason if it diverged, else None.
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


def record(sweep, runs: list[Run], name: str, workdir: pathlib.Path) -> None:
    """Writes sweep.json: the sweep's name, what it compares, and its planned runs."""
    fields = {field: sweep.get(field) for field in _COMPARED}
    planned = [
        {
            "cell": run.cell,
            "seeds": run.seeds,
            "folder": run.workdir.relative_to(workdir).as_posix(),
        }
        for run in runs
    ]
    text = to_json({"sweep": name, **fields, "runs": planned}, indent=2)
    write_whole(workdir / _RECORD, text + "\n")


def recorded(workdir: pathlib.Path) -> tuple[str, Any, list[Run]]:
    """Reads what `record` wrote: the name, the sweep, and its planned runs.

    A run that has not begun has an empty config.

    Raises:
      UserError: if the file is missing or damaged.
    """
    path = workdir / _RECORD
    try:
        content = json.loads(paths.read_text(path))
        sweep = ml_collections.ConfigDict(
            {field: content[field] for field in _COMPARED if content[field] is not None}
        )
        runs = []
        for planned in content["runs"]:
            cell = tuple((str(axis), str(value)) for axis, value in planned["cell"])
            folder = workdir / planned["folder"]
            config = read_config(folder) if (folder / "config.json").exists() else {}
            runs.append(Run(cell, tuple(planned["seeds"]), config, folder))
        return str(content["sweep"]), sweep, runs
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error!r}") from None


def is_done(run: Run) -> bool:
    """Whether the run is finished.

    Raises:
      UserError: if its folder holds a run of another config.
    """
    if not (run.workdir / "config.json").exists():
        return False
    if read_config(run.workdir) != json.loads(to_json(run.config.to_dict())):
        raise UserError(
            f"{run.workdir} holds a run of other settings; choose another --workdir"
        )
    return read_summary(run.workdir).get("status") == "done"


def _read(path):
    """The config of a file, or of a file, a colon and an argument.

    One that dlx ships may be named alone, without folder and suffix.
    """
    path, *argument = (shipped.find(path) or path).split(":")
    try:
        return shipped.load(pathlib.Path(path)).get_config(*argument)
    except OSError as error:
        raise UserError(f"config.configs: {path}: {error.strerror}") from None
    except KeyError as error:
        raise UserError(f"config.configs: {path} has no setting {error}") from None


def _override(config, settings):
    """Sets fields. Names with dots are fields of nested configs."""
    for name, value in settings.items():
        if name.split(".")[0] in choices.CHOICES:
            choices.override(config, name, value)
            continue
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
    """Flattens nested dicts: {'a': {'b': x}} -> {'a.b': x}."""
    flat = {}
    for name, value in tree.items():
        if hasattr(value, "items"):
            flat |= _leaves(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
