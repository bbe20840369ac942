"""Every config makes a task that traces, without computing anything."""

import importlib.util
import pathlib

import jax
import numpy as np
import pytest

from dlx import parallel, tasks
from dlx.data import sources
from launch import plan

CONFIGS = sorted(pathlib.Path("configs").glob("*.py"))
SWEEPS = sorted(pathlib.Path("configs/sweeps").glob("*.py"))


def _read(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert f"--config={path}" in module.__doc__
    return module.get_config()


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweep_plans(path, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)  # one environment may be swept
    sweep = _read(path)
    if "mnist" in path.stem:
        sweep.grid = {"dataset": ("digits",)}
    if path.stem == "discriminators":
        sweep.grid = {"judge": (False,)}  # making one takes longer than all else here
    runs = plan.make(sweep, pathlib.Path("nowhere"))
    assert len({run.workdir for run in runs}) == len(runs) > 1


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_traces(path, monkeypatch):
    config = _read(path)
    if "dataset" in config and config.dataset != "photographs":
        config.dataset = "digits"  # is here, and has all that others have but size
    if "widths" in config:
        config.widths = config.widths[:1]  # each halves what is left of 8x8 pixels
    if config.get("kind") == "pictures":
        config.update({"g_channels": config.g_channels[:2], "judge": False})
        config.image_size = config.image_size and 8
    if config.get("kind") == "sounds":
        tones = np.zeros((64, config.length), np.int16), np.zeros(64, np.int32)
        sounds = sources.AllSounds(*tones, ["silence"], 8000)
        monkeypatch.setattr(sources, "load_sounds", lambda *_: sounds)
    if "weights" in config:
        config.weights = "random"
        small = {"size": 64, "scales": 1} if "size" in config else {"crop": 64}
        config.update(small)
    task = tasks.make(config)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = parallel.abstract(task, key)
    keys = parallel.device_keys(jax.random.key(0))
    steps = parallel.train_steps(task, state, 2)
    source = task.batches and task.batches.source(2)
    after, metrics = jax.eval_shape(steps, state, source, keys)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert {"loss", "l2_params"} <= metrics.keys()
    assert all(m.shape == (2,) for m in metrics.values())
    for length in ("num_steps", "eval_steps", "checkpoint_steps"):
        assert config[length] % config.log_steps == 0
