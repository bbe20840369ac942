"""Two ways to map steps over devices, which give the same numbers; and one caller."""

import ast
import pathlib

import jax
import numpy as np
import pytest

import dlx
from dlx import streams, tasks
from dlx.errors import UserError
from dlx.runtime import devices
import launch

MAPS = {"pmap", "shard_map", "xmap"}


@pytest.fixture
def one_device(monkeypatch):
    devices = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    monkeypatch.setattr(jax, "device_count", lambda: 1)


def _trained(config, way):
    task, keys = tasks.make(config), streams.Keys(config.seed)
    state = devices.init(task, keys.init)
    device_keys = devices.device_keys(keys.steps)
    source = task.batches and task.batches.source(3)
    steps = devices.train_steps(task, state, 3, way)
    steps = devices.compiled(steps, state, source, device_keys)
    for _ in range(2):
        state, metrics = steps(state, source, device_keys)
    return jax.tree.leaves(jax.device_get((state, metrics)))


def test_on_one_device_both_ways_give_the_same_bits(config, one_device):
    for one, other in zip(*(_trained(config, w) for w in devices.WAYS), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("streamed", [False, True])
def test_on_two_devices_both_ways_agree(streamed):
    from configs import cnn_mnist

    config = cnn_mnist.get_config()
    config.update({"dataset": "digits", "streamed": streamed, "channels": (4,)})
    config.update({"features": (8,), "batch_size": 32})
    for one, other in zip(*(_trained(config, w) for w in devices.WAYS), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_another_way_is_refused(config):
    with pytest.raises(UserError, match=r"config\.parallel is 'xmap'"):
        _trained(config, "xmap")


def _uses(path):
    """The maps over devices that a file names, however it imports them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in MAPS:
            yield node.attr
        if isinstance(node, ast.ImportFrom):
            yield from MAPS & {alias.name for alias in node.names}


def test_nothing_else_maps_over_devices():
    folders = *dlx.__path__, *launch.__path__
    files = [path for folder in folders for path in pathlib.Path(folder).rglob("*.py")]
    users = {path.name for path in files if set(_uses(path))}
    assert users == {"devices.py"}
