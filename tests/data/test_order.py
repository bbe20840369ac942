"""Orders are permutations, look random, and have exact positions."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.data.order import first_of_batch, permuted, shuffled


def _key(number=3):
    return jax.random.key(number)


def _orders(size, number):
    """Orders of one epoch for different keys, [number, size]."""
    zero = jnp.uint32(0)
    keys = jax.random.split(_key(), number)
    order = jax.jit(jax.vmap(lambda key: shuffled(zero, zero, size, size, key)[0]))
    return np.asarray(order(keys))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_an_epoch_is_a_permutation(size):
    begin = jnp.uint32(5), jnp.uint32(0)
    order, epochs = jax.jit(lambda key: shuffled(*begin, 3 * size, size, key))(_key())
    assert epochs.reshape(3, size).tolist() == [[epoch] * size for epoch in (5, 6, 7)]
    for epoch in np.asarray(order).reshape(3, size):
        assert sorted(epoch) == list(range(size))


def test_parts_of_epochs_are_parts_of_their_orders():
    read = jax.jit(shuffled, static_argnums=(2, 3))
    whole, _ = read(jnp.uint32(0), jnp.uint32(0), 30, 10, _key())
    part, epochs = read(jnp.uint32(1), jnp.uint32(7), 9, 10, _key())
    assert part.tolist() == whole[17:26].tolist()
    assert epochs.tolist() == [1] * 3 + [2] * 6


def test_every_size_is_permuted():
    """By brute force, for every size up to 600 and some large ones, in one program."""
    apply = jax.jit(permuted)
    bits = jax.random.bits(_key(), (1, 40, 3))
    for largest, sizes in ((600, range(1, 601)), (70_000, (50_000, 60_000, 69_997))):
        index = jnp.arange(largest, dtype=jnp.uint32)
        for size in sizes:
            order = np.asarray(apply(index, jnp.zeros_like(index), bits, size))[:size]
            assert (np.bincount(order, minlength=size) == 1).all(), size


def test_there_is_no_loop_that_depends_on_data():
    program = jax.make_jaxpr(lambda key: shuffled(*jnp.zeros(2, "u4"), 9, 7, key))
    assert " while[" not in str(program(_key()))


def _chi_square(counts):
    expected = counts.sum() / counts.size
    return np.sum((counts - expected) ** 2) / expected


def test_all_orders_of_a_few_examples_are_equally_likely():
    orders = _orders(5, 12_000)
    numbers = {order: n for n, order in enumerate(itertools.permutations(range(5)))}
    counts = np.bincount([numbers[tuple(o)] for o in orders.tolist()], minlength=120)
    assert _chi_square(counts) < 187  # 119 degrees: p 1e-4


def test_orders_look_random():
    size, number = 100, 2000
    order = _orders(size, number)
    # The first example's position, and its successor, are uniform by chi-square.
    for drawn in (np.argmax(order == 0, axis=1), (order[:, 1] - order[:, 0]) % size):
        counts = np.bincount(drawn, minlength=size)
        counts = counts[counts > 0] if counts[0] == 0 else counts
        assert _chi_square(counts) < 160  # 99 degrees: p 1e-4
    assert len(np.unique(order, axis=0)) == number
    # Neighbours are uncorrelated.
    assert abs(np.corrcoef(order[:, :-1].ravel(), order[:, 1:].ravel())[0, 1]) < 0.02
    # Pairs in the wrong order: their mean and variance (Kendall).
    wrong = (order[:, :, None] > order[:, None, :])[:, *np.triu_indices(size, 1)].sum(1)
    variance = size * (size - 1) * (2 * size + 5) / 72
    mean = size * (size - 1) / 4
    assert abs(wrong.mean() - mean) < 4 * math.sqrt(variance / number)
    assert abs(wrong.var() / variance - 1) < 4 * math.sqrt(2 / number)


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
