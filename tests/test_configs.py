"""Every config makes a task that traces, without computing anything."""

import importlib.util
import inspect
import pathlib
import typing

import jax
import numpy as np
import pytest

from dlx import fields, tasks
from dlx.data import sources
from dlx.runtime import checks, devices, inspection
from launch.sweep import plan

# What the files' get_config takes, besides what it has if nothing is said.
VARIANTS = {
    "airbench_cifar10": ["small"],
    "dcgan_faces": ["small"],
    "dcgan_imagenet32": ["small"],
    **{f"pg_rocks{size}": ["cnn"] for size in (8, 16, 32)},
    **{f"dqn_rocks{size}": ["cnn"] for size in (8, 16, 32)},
    "gman_stacked_digits": ["quarter"],
    "iwae_mnist": ["gated", "paper"],
    **{f"{name}_minatar": ["SpaceInvaders"] for name in ("pqn", "ppo", "dqn")},
    "lm_text": ["names"],
    "ppo_gymnax": ["Catch-bsuite", "Pendulum-v1"],
    "style": ["vgg16"],
    "textgan": ["names"],
    "textgan_lstm": ["names"],
    "vae_mnist": ["paper"],
}
CONFIGS = sorted(pathlib.Path("configs").glob("*.py"))
SWEEPS = sorted(pathlib.Path("configs/sweeps").glob("*.py"))


OPENED = [
    pytest.param(path, arguments, id=":".join([path.stem, *arguments]))
    for path in CONFIGS
    for arguments in ([], *([name] for name in VARIANTS.get(path.stem, ())))
]


def _module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read(path, *arguments):
    module = _module(path)
    assert f"--config={path}" in module.__doc__
    return module.get_config(*arguments)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweep_plans(path, monkeypatch, request):
    if path.stem in ("minatar", "everything_cpu"):
        request.getfixturevalue("gymnax")
    monkeypatch.setattr(jax, "device_count", lambda: 1)  # one environment may be swept
    read = plan._read

    def on_digits(path):
        config = read(path)
        if config.get("dataset") in ("mnist", "cifar10"):
            config.dataset = "digits"
        if "widths" in config:
            config.widths = config.widths[:1]
        if "reference_classifier" in config:  # making one takes longer than all else
            config.reference_classifier = False
        return config

    monkeypatch.setattr(plan, "_read", on_digits)
    sweep = _read(path)
    runs = plan.make(sweep, pathlib.Path("nowhere"))
    assert len({run.workdir for run in runs}) == len(runs) > 1


def test_all_variants_are_opened():
    taking = {
        path.stem
        for path in CONFIGS
        if inspect.signature(_module(path).get_config).parameters
    }
    assert taking == set(VARIANTS)
    for path in CONFIGS:
        for argument in inspect.signature(_module(path).get_config).parameters.values():
            values = typing.get_args(argument.annotation)  # of a Literal; else none
            assert not values or {argument.default, *VARIANTS[path.stem]} == {*values}
    with pytest.raises(KeyError):
        _read(pathlib.Path("configs/vae_mnist.py"), "none")


@pytest.mark.parametrize(("path", "arguments"), OPENED)
def test_every_field_has_its_valid_values(path, arguments):
    config = _read(path, *arguments)
    valid = tasks.fields_of(tasks.module(config)) | checks.FIELDS
    # The environment checks its own parameters.
    assert set(config) - {"task", "env"} <= set(valid)
    assert ("optimizer" in config) == ("optimizer" in valid)  # so that a flag sets it
    fields.check(config, valid)


@pytest.mark.parametrize(("path", "arguments"), OPENED)
def test_config_traces(path, arguments, monkeypatch, request):
    config = _read(path, *arguments)
    if "dataset" in config and config.dataset != "photographs":
        config.dataset = "digits"  # is here, and has all that others have but size
    if config.get("env", {}).get("name", "").startswith("gymnax/"):
        request.getfixturevalue("gymnax")
    if "widths" in config:
        config.widths = config.widths[:1]  # each halves what is left of 8x8 pixels
    if config.get("modality") == "spectrograms":
        config.modality = "images"  # which they are
    if config.get("modality") == "images":
        config.reference_classifier = False
        if config.get("image_size"):
            config.image_size = 8
    if "g_channels" in config and config.modality == "images":
        config.g_channels = config.g_channels[:2]
    if config.get("modality") == "sounds":
        tones = np.zeros((64, config.length), np.int16), np.zeros(64, np.int32)
        sounds = sources.Sounds(*tones, ["silence"], 8000)
        monkeypatch.setattr(sources, "load_sounds", lambda *_: sounds)
    if "corpus" in config:
        config.validation = min(config.validation, 100)  # the corpus here is short
    if "weights" in config:
        config.weights = "random"
        small = {"size": 64, "scales": 1} if "size" in config else {"crop": 64}
        config.update(small)
    task = tasks.make(config)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = devices.abstract(task, key)
    keys = devices.device_keys(jax.random.key(0))
    steps = devices.train_steps(task, state, 2)
    source = task.batches and task.batches.source(2)
    after, metrics = jax.eval_shape(steps, state, source, keys)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    described = inspection.described(task, config)
    leaves = jax.tree.leaves(state.params)
    assert len(described["parameters"]) == len(leaves) + 1
    assert f"{sum(x.size for x in leaves):,} parameters" in described["parameters"][-1]
    assert {"loss", "l2_params"} <= metrics.keys()
    assert all(m.shape == (2,) for m in metrics.values())
    for length in ("num_steps", "eval_steps", "checkpoint_steps"):
        assert config[length] % config.log_steps == 0
