"""A published run: config, summary and the trained state as safetensors.

A published folder has config.json, summary.json and model.safetensors, and is opened
like a run's folder. It lacks the optimiser's state and the fields that differ between
devices, so that it can be evaluated and used, but not trained on.
"""

import json
import pathlib
import re
from typing import Any

import jax

from dlx import choices, paths, streams
from dlx.errors import UserError
from dlx.runtime import devices
from dlx.runtime.task import State, Task
from dlx.runtime.writers import to_json

WEIGHTS = "model.safetensors"
HUB = "hf:"
_LEFT_OUT = "opt_state"
_FILES = *paths.FILES, "dataset"


def is_published(folder: pathlib.Path) -> bool:
    """Whether a folder holds a published run."""
    return (folder / WEIGHTS).is_file()


def write(
    folder: pathlib.Path, task: Task, config: dict[str, Any], step: int, state: State
) -> list[str]:
    """Writes config.json and model.safetensors.

    Args:
      folder: A folder that exists.
      task: The run's task.
      config: The run's config. Folders of this machine are left out, and of its files
        only the names are kept.
      step: The number of steps trained.
      state: The state to publish.

    Returns:
      The fields of the config that name a file, which whoever uses it needs, too.
    """
    import safetensors.flax

    config, files = _portable(config)
    (folder / "config.json").write_text(
        to_json(config, indent=2) + "\n", encoding="utf-8"
    )
    leaves = {
        name: leaf.addressable_data(0)
        for name, leaf in _leaves(state).items()
        if not _is_left_out(task, name)
    }
    metadata = {"step": str(step), "format": "dlx"}
    safetensors.flax.save_file(leaves, folder / WEIGHTS, metadata)
    return files


def read(folder: pathlib.Path, task: Task, keys: streams.Keys) -> tuple[int, State]:
    """Reads the step and state of a published folder; the optimiser's state is fresh.

    Raises:
      UserError: if the file is damaged or has another structure.
    """
    import safetensors.flax

    path = folder / WEIGHTS
    try:
        arrays = safetensors.flax.load_file(path)
        with safetensors.safe_open(path, framework="numpy") as file:
            step = int((file.metadata() or {})["step"])
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    state = devices.init(task, keys.init)
    expected = {n: x for n, x in _leaves(state).items() if not _is_left_out(task, n)}
    for name in expected.keys() | arrays:
        here, there = (_kind(leaves.get(name)) for leaves in (expected, arrays))
        if here != there:
            raise UserError(f"{path}: {name} is {there}, but the config makes {here}")

    def leaf(at, fresh):
        name = _name(at)
        return jax.device_put(arrays[name], fresh.sharding) if name in arrays else fresh

    return step, jax.tree_util.tree_map_with_path(leaf, state)


def fetch(name: str) -> pathlib.Path:
    """Downloads a published run, hf:OWNER/REPOSITORY, and returns its folder.

    Raises:
      UserError: if the name is invalid or the repository cannot be had.
    """
    import huggingface_hub

    repository = name.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UserError(f"{name}: invalid name; runs of the hub are hf:OWNER/NAME")
    try:
        return pathlib.Path(huggingface_hub.snapshot_download(repository))
    except Exception as error:  # network errors, unknown names, errors of the hub
        reason, *_ = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"cannot fetch {name}: {reason}") from None


def require_no_imports(name: str, config: dict[str, Any]) -> None:
    """Checks that a stranger's config names no code to import and call.

    Raises:
      UserError: if a choice is an import path, other than of optax.
    """
    chosen = {field: config.get(field) for field in ("task", "dataset", "env")}
    chosen |= {field: config.get(field) for field in choices.CHOICES}
    for field, value in chosen.items():
        value = value.get("name") if isinstance(value, dict) else value
        if (
            isinstance(value, str)
            and re.fullmatch(r"\w+(\.\w+)+", value)
            and not re.fullmatch(r"optax\.\w+", value)
        ):
            raise UserError(
                f"{name} names code to import, config.{field}={value}; if you trust "
                "it, download the folder and give its path"
            )


def _portable(config):
    """A copy without this machine's paths; and the fields that name a file."""
    config, files = json.loads(to_json(config)), []
    for field in paths.FOLDERS:
        if field in config:
            config[field] = None
    for field in _FILES:
        value = config.get(field)
        if isinstance(value, str) and "/" in value.split(":")[-1] and _is_local(value):
            prefix = "folder:" if value.startswith("folder:") else ""
            parts = value.removeprefix(prefix).split(",")
            names = [pathlib.PurePath(part).name for part in parts]
            config[field] = prefix + ",".join(names)
            files.append(field)
    return config, files


def _is_local(text):
    return text.removeprefix("folder:").startswith("/")


def _leaves(state):
    flat, _ = jax.tree_util.tree_flatten_with_path(state)
    return {_name(at): leaf for at, leaf in flat}


def _name(at):
    """'params.Dense_0.kernel' of a leaf's place in the state."""
    return jax.tree_util.keystr(at, simple=True, separator=".")


def _is_left_out(task, name):
    return name.split(".")[0] in (_LEFT_OUT, *task.local)


def _kind(leaf):
    """A leaf's dtype and shape as text; 'missing' for none."""
    return "missing" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"
