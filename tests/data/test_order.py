"""Orders are permutations, look random, and have exact positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.data.order import first_of_batch, shuffled


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
    # The first example's position, and its successor, are uniform by chi-square.
    for drawn in (np.argmax(order == 0, axis=1), (order[:, 1] - order[:, 0]) % size):
        counts = np.bincount(drawn, minlength=size)
        counts = counts[counts > 0] if counts[0] == 0 else counts
        expected = len(drawn) / len(counts)
        assert np.sum((counts - expected) ** 2) / expected < 160  # 99 degrees: p 1e-4
    assert len(np.unique(order, axis=0)) == 2000
    # Neighbours are uncorrelated.
    assert abs(np.corrcoef(order[:, :-1].ravel(), order[:, 1:].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("size", [3, 1797, 60_000, 1_281_167, 2**30 - 1])
@pytest.mark.parametrize("batch_size", [1, 128, 1000, 2**20])
def test_the_first_position_equals_exact_division(size, batch_size):
    """This holds beyond 2^32 examples, where a uint32 overflows."""
    around = [2**32 // batch_size + n for n in (-1, 0, 1)]
    steps = [s for s in (0, 1, size, *around, 2**31 - 1) if s < 2**31]
    begin = jax.jit(lambda step: first_of_batch(step, batch_size, size))
    for step in steps:
        epoch, index = begin(jnp.int32(step))
        expected = divmod(step * batch_size, size)
        assert (int(epoch), int(index)) == (expected[0] % 2**32, expected[1])
