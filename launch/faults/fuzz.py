"""Tries senseless values for every field of every config.

Each must be refused in one line before anything is trained, or make a program that
traces.
"""

from collections.abc import Iterator
import copy
import math
import pathlib
import types
from typing import Any
from unittest import mock

import jax
import ml_collections
import numpy as np

from dlx import choices, errors, streams, tasks
from dlx.data import sounds, tfds
from dlx.runtime import checks, devices, memory

from .. import shipped
from .campaign import BrokenError, require

VALUES = 0, -1, 10**9, 2**70, math.nan, math.inf, "x", "", None, (1, -2), (), {"a": 1}

_TONES = "tones"  # stands for a data set of sounds


def read(path: pathlib.Path) -> ml_collections.ConfigDict:
    """Reads a config and replaces its data by data that need no download."""
    config = shipped.load(path).get_config()
    if config.get("modality") == "sounds":
        config.dataset = _TONES
    elif "dataset" in config and config.dataset != "photographs":
        config.dataset = "digits"
    if config.get("modality") == "images":
        config.reference_classifier = False
        config.image_size = config.image_size and 8
    if config.get("modality") == "images" and "g_channels" in config:
        config.g_channels = config.g_channels[:2]
    if "widths" in config:
        config.widths = config.widths[:1]
    if "weights" in config:
        config.weights = "random"
        config.update({"size": 64, "scales": 1} if "size" in config else {"crop": 64})
    return config


def fields(config: Any, before: str = "") -> Iterator[str]:
    """Names of all fields, with dots for those of nested configs."""
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from fields(value, f"{before}{name}.")
        yield before + name


def attempt(config: Any, field: str, value: Any) -> str:
    """Gives a field a value.

    Returns:
      'refused' or 'accepted'.

    Raises:
      BrokenError: if it ends in an error that is not a line for the user.
    """
    config = copy.deepcopy(config)
    try:
        if field.split(".")[0] in choices.CHOICES:
            choices.override(config, field, value)
        else:
            config.update_from_flattened_dict({field: value})
    except (TypeError, ValueError, AttributeError, KeyError, errors.UserError):
        return "refused"  # refused by the flag's type
    try:
        with mock.patch.object(
            sounds, "tfds", types.SimpleNamespace(prepared=_prepared)
        ):
            _trace(config)
    except Exception as error:
        line = errors.exit_status(error)
        require(line is not None, f"{type(error).__name__}: {errors.first_line(error)}")
        return "refused"
    return "accepted"


def run(path: pathlib.Path) -> tuple[int, list[str]]:
    """Tries all values for all fields of a config.

    Returns:
      The number of tries, and a line for each that ended in a traceback.
    """
    config = read(path)
    tried, broken = 0, []
    for field in fields(config):
        for value in VALUES:
            tried += 1
            try:
                attempt(config, field, value)
            except BrokenError as error:
                broken.append(f"{path.stem} {field}={value!r}: {error}")
    return tried, broken


def _prepared(name, *folders):
    """A builder of tones; other names are those of TFDS."""
    if name != _TONES:
        return tfds.prepared(name, *folders)
    times = np.arange(4096) / 8000
    examples = [
        {"audio": np.int64(9000 * np.sin(1000 * n * times)), "label": n % 2}
        for n in range(80)
    ]
    sound = types.SimpleNamespace(sample_rate=8000)
    features = {"audio": sound, "label": types.SimpleNamespace(names=["even", "odd"])}
    return types.SimpleNamespace(
        name=name,
        info=types.SimpleNamespace(features=features),
        as_data_source=lambda split: examples,
    )


def _trace(config):
    """Makes and traces the task, like a run before its first allocation."""
    checks.require_schedule(config)
    task = tasks.make(config)
    keys = streams.Keys(0)
    state = devices.abstract(task, keys.init)
    memory.require_for_state(state)
    device_keys = devices.device_keys(keys.steps)
    source = task.batches and task.batches.source(1)
    way = devices.way(config)
    jax.eval_shape(devices.train_steps(task, state, 1, way), state, source, device_keys)
