"""Every example once an epoch, however batches, devices and interruptions fall."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.data.batches import Resident, Streamed, first_of_batch, shuffled
from dlx.errors import UserError
from dlx.runtime import devices as parallel


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65, 1000])
def test_an_epoch_is_a_permutation(size):
    positions = jnp.arange(3 * size, dtype=jnp.uint32)
    where = positions // size, positions % size
    order = np.asarray(jax.jit(shuffled, static_argnums=2)(*where, size, _key()))
    for epoch in order.reshape(3, size):
        assert sorted(epoch) == list(range(size))


def _key():
    return jax.random.key(3)


def test_orders_look_random():
    size = 100
    index = jnp.arange(size, dtype=jnp.uint32)
    order = jax.jit(
        jax.vmap(lambda key: shuffled(jnp.zeros_like(index), index, size, key))
    )(jax.random.split(_key(), 2000))
    order = np.asarray(order)
    # Where the first example lands, and what follows it: uniform by chi-square.
    for drawn in (np.argmax(order == 0, axis=1), (order[:, 1] - order[:, 0]) % size):
        counts = np.bincount(drawn, minlength=size)
        counts = counts[counts > 0] if counts[0] == 0 else counts
        expected = len(drawn) / len(counts)
        assert np.sum((counts - expected) ** 2) / expected < 160  # 99 degrees: p 1e-4
    assert len(np.unique(order, axis=0)) == 2000
    # Neighbours do not stay neighbours.
    assert abs(np.corrcoef(order[:, :-1].ravel(), order[:, 1:].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("size", [3, 1797, 60_000, 1_281_167, 2**30 - 1])
@pytest.mark.parametrize("batch_size", [1, 128, 1000, 2**20])
def test_batches_begin_where_whole_numbers_say(size, batch_size):
    """At 2^32 examples too, from where on a uint32 would begin again."""
    around = [2**32 // batch_size + n for n in (-1, 0, 1)]
    steps = [s for s in (0, 1, size, *around, 2**31 - 1) if s < 2**31]
    begin = jax.jit(lambda step: first_of_batch(step, batch_size, size))
    for step in steps:
        epoch, index = begin(jnp.int32(step))
        expected = divmod(step * batch_size, size)
        assert (int(epoch), int(index)) == (expected[0] % 2**32, expected[1])


def test_the_order_goes_on_where_four_billion_examples_have_been_shown():
    size, batch_size = 60, 128
    last = 2**32 // batch_size
    seen = _read(_make("resident", size, batch_size), size, 4, first=last - 2)
    positions = np.arange((last - 2) * batch_size, (last + 2) * batch_size)
    for epoch in np.unique(positions // size)[1:-1]:
        assert sorted(seen.ravel()[positions // size == epoch]) == list(range(size))


class Squares:
    """Example i is {'x': i, 'y': i squared}."""

    def __init__(self, size):
        self._size = size

    def __len__(self):
        return self._size

    def __getitem__(self, index):
        return {"x": np.int32(index), "y": np.int32(index**2)}


def _make(kind, size, batch_size, seeds=(0,)):
    if kind == "streamed":
        return Streamed(Squares(size), batch_size, seeds)
    x = np.arange(size, dtype=np.int32)
    return Resident({"x": x, "y": x**2}, batch_size, seeds)


def _read(batches, size, steps, first=0, chunk=2, which=0):
    """[steps, batch] of the examples' numbers, as the pmapped loop would see them."""

    def batch(source, step):
        return batches.batch(source, step[0], which)

    read = jax.pmap(batch, parallel.AXIS, in_axes=(batches.axis, 0))
    devices = jax.local_device_count()
    seen = []
    for start in range(first, first + steps, chunk):
        source = batches.source(chunk)
        for step in range(start, start + chunk):
            got = jax.device_get(read(source, jnp.full((devices, 1), step, jnp.int32)))
            np.testing.assert_array_equal(got["y"], got["x"] ** 2)
            np.testing.assert_array_equal(got["index"], got["x"])
            position = step * got["x"].size + np.arange(got["x"].size)
            np.testing.assert_array_equal(got["epoch"].ravel(), position // size)
            seen.append(got["x"].ravel())
    return np.stack(seen)


@pytest.mark.parametrize("kind", ["resident", "streamed"])
@pytest.mark.parametrize(("size", "batch_size"), [(12, 4), (10, 4), (3, 8)])
def test_each_epoch_shows_each_example_once(kind, size, batch_size):
    seen = _read(_make(kind, size, batch_size), size, 30).ravel()
    whole = len(seen) // size
    epochs = seen[: whole * size].reshape(whole, size)
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    assert len(np.unique(epochs, axis=0)) > 1, "each in an order of its own"


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_seeds_side_by_side_have_orders_of_their_own(kind):
    seen = [_read(_make(kind, 20, 4, (5, 6)), 20, 10, which=n) for n in (0, 1)]
    assert np.any(seen[0] != seen[1])
    np.testing.assert_array_equal(seen[1], _read(_make(kind, 20, 4, (6,)), 20, 10))


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_going_on_repeats_and_skips_nothing(kind):
    whole = _read(_make(kind, 10, 4), 10, 20)
    first = _make(kind, 10, 4)
    np.testing.assert_array_equal(_read(first, 10, 6), whole[:6])
    saved = json.loads(json.dumps(first.save()))
    second = _make(kind, 10, 4)
    second.restore(saved)
    np.testing.assert_array_equal(_read(second, 10, 14, first=6), whole[6:])


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_the_order_is_the_same_on_any_number_of_devices(kind):
    here = _read(_make(kind, 20, 8), 20, 10)
    code = (
        "from tests.data.test_batches import _make, _read; import json, jax; "
        f"print(json.dumps(_read(_make({kind!r}, 20, 8), 20, 10).tolist()))"
    )
    for devices in (1, 8):
        flags = os.environ["XLA_FLAGS"]  # the last of a kind counts
        flags += f" --xla_force_host_platform_device_count={devices}"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(json.loads(done.stdout), here)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match=r"config.batch_size=3 does not divide"):
        _make("resident", 10, 3)
