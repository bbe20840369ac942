"""Every epoch shows every example once, for all batch sizes, devices and resumes."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.data.batches import Resident, Streamed
from dlx.errors import UserError
from dlx.runtime import devices


def test_the_order_continues_after_four_billion_examples():
    size, batch_size = 60, 128
    last = 2**32 // batch_size
    shown = _read(_make("resident", size, batch_size), size, 4, first=last - 2)
    positions = np.arange((last - 2) * batch_size, (last + 2) * batch_size)
    for epoch in np.unique(positions // size)[1:-1]:
        assert sorted(shown.ravel()[positions // size == epoch]) == list(range(size))


def _make(kind, size, batch_size, seeds=(0,)):
    x = np.arange(size, dtype=np.int32)
    make = {"resident": Resident, "streamed": Streamed}[kind]
    return make({"x": x, "y": x**2}, batch_size, seeds)


def _read(batches, size, steps, first=0, chunk=2, which=0):
    """Reads batches with pmap; returns the examples' indices, [steps, batch]."""

    def batch(source, step):
        return batches.batch(source, step[0], which)

    read = jax.pmap(batch, devices.AXIS, in_axes=(batches.axis, 0))
    number = jax.local_device_count()
    shown = []
    for start in range(first, first + steps, chunk):
        source = batches.source(chunk)
        for step in range(start, start + chunk):
            got = jax.device_get(read(source, jnp.full((number, 1), step, jnp.int32)))
            np.testing.assert_array_equal(got["y"], got["x"] ** 2)
            np.testing.assert_array_equal(got["index"], got["x"])
            position = step * got["x"].size + np.arange(got["x"].size)
            np.testing.assert_array_equal(got["epoch"].ravel(), position // size)
            shown.append(got["x"].ravel())
    return np.stack(shown)


@pytest.mark.parametrize("kind", ["resident", "streamed"])
@pytest.mark.parametrize(("size", "batch_size"), [(12, 4), (10, 4), (3, 8)])
def test_each_epoch_shows_each_example_once(kind, size, batch_size):
    shown = _read(_make(kind, size, batch_size), size, 30).ravel()
    whole = len(shown) // size
    epochs = shown[: whole * size].reshape(whole, size)
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    assert len(np.unique(epochs, axis=0)) > 1, "each has a different order"


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_seeds_side_by_side_have_different_orders(kind):
    shown = [_read(_make(kind, 20, 4, (5, 6)), 20, 10, which=n) for n in (0, 1)]
    assert np.any(shown[0] != shown[1])
    np.testing.assert_array_equal(shown[1], _read(_make(kind, 20, 4, (6,)), 20, 10))


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_resuming_repeats_and_skips_nothing(kind):
    whole = _read(_make(kind, 10, 4), 10, 20)
    first = _make(kind, 10, 4)
    np.testing.assert_array_equal(_read(first, 10, 6), whole[:6])
    saved = json.loads(json.dumps(first.save()))
    second = _make(kind, 10, 4)
    second.restore(saved)
    np.testing.assert_array_equal(_read(second, 10, 14, first=6), whole[6:])


def test_both_have_the_same_order():
    orders = [_read(_make(kind, 10, 4), 10, 8) for kind in ("resident", "streamed")]
    np.testing.assert_array_equal(*orders)


def test_some_rows_are_streamed():
    x = np.arange(100, dtype=np.int32)
    streamed = Streamed({"x": x}, 4, (0,), rows=x[10:30:2])
    assert streamed.examples == 10
    shown = np.concatenate(
        [streamed.source(chunk)["x"].ravel() for chunk in (3, 3, 4)]  # not all foreseen
    )
    assert sorted(shown) == sorted(4 * list(range(10, 30, 2)))
    whole = Streamed({"x": x[10:30:2]}, 4, (0,))
    assert streamed.digest() == whole.digest() != Streamed({"x": x}, 4, (0,)).digest()


def test_an_older_streams_position_is_a_user_error():
    with pytest.raises(UserError, match="older version of dlx"):
        _make("streamed", 10, 4).restore([{"next_index": 3}])


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_the_order_is_the_same_on_any_number_of_devices(kind):
    here = _read(_make(kind, 20, 8), 20, 10)
    code = (
        "from tests.data.test_batches import _make, _read; import json, jax; "
        f"print(json.dumps(_read(_make({kind!r}, 20, 8), 20, 10).tolist()))"
    )
    for number in (1, 8):
        flags = os.environ["XLA_FLAGS"]  # the last setting of a flag counts
        flags += f" --xla_force_host_platform_device_count={number}"
        child = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode == 0, child.stderr
        np.testing.assert_array_equal(json.loads(child.stdout), here)


def test_a_batch_that_does_not_divide_is_a_user_error():
    with pytest.raises(UserError, match=r"config.batch_size=3 does not divide"):
        _make("resident", 10, 3)
