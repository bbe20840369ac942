"""No two purposes share a key, nor do keys that are derived below them."""

import pathlib
import re

import jax
import numpy as np

from dlx import streams
from dlx.runtime import devices


def _below(key, numbers=64):
    """What is derived from a key by numbers, and from those again."""
    once = jax.random.split(key, numbers)
    return [key[None], once, jax.vmap(lambda k: jax.random.split(k, 8))(once).ravel()]


def test_split_is_fold_in():
    """Which is why purposes come first."""
    key = jax.random.key(7)
    with jax.debug_key_reuse(False):
        folded = jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(4))
        np.testing.assert_array_equal(_bits(jax.random.split(key, 4)), _bits(folded))


def test_no_two_keys_of_any_purposes_and_seeds_are_one():
    with jax.debug_key_reuse(False):
        found = [
            part
            for seed in (0, 1, 2**32 - 1)
            for purpose in streams.PURPOSES
            for part in _below(streams.key(seed, purpose))
        ]
    bits = np.concatenate([_bits(part) for part in found])
    assert len(np.unique(bits, axis=0)) == len(bits) > 20_000
    assert len(set(streams.PURPOSES)) == len(streams.PURPOSES)


def test_a_run_s_keys_are_all_different():
    """Of states, of each device's steps, of evaluations, figures, epochs and halves."""
    keys = streams.Keys(3)
    with jax.debug_key_reuse(False):
        first = jax.random.split(keys.init)  # as `devices.init` has them
        device_keys = devices.device_keys(keys.steps)
        fold = jax.vmap(jax.random.fold_in, (None, 0))
        steps = jax.vmap(fold, (0, None))(device_keys, np.arange(50))
        found = [
            *_below(first[0], 4),
            *_below(devices.device_keys(first[1])[0], 4),
            device_keys,
            steps.ravel(),
            jax.vmap(lambda key: jax.random.split(key, 4))(steps.ravel()).ravel(),
            *(keys.evaluate(step)[None] for step in range(0, 50, 5)),
            *(keys.figures(step)[None] for step in range(0, 50, 5)),
            fold(streams.key(3, "order"), np.arange(50)),
            fold(streams.key(3, "halves"), np.arange(50)),
        ]
    bits = np.concatenate([_bits(part) for part in found])
    assert len(np.unique(bits, axis=0)) == len(bits)


def test_keys_begin_nowhere_else():
    """But for the game's own folder, which imports nothing of dlx, and benchmarks."""
    elsewhere = [
        str(path)
        for folder in ("dlx", "launch")
        for path in pathlib.Path(folder).rglob("*.py")
        if re.search(r"random\.(key|PRNGKey)\(", path.read_text())
        and not {"envs", "bench"} & set(path.parts)
    ]
    assert elsewhere == ["dlx/streams.py"]


def _bits(keys):
    return np.asarray(jax.random.key_data(keys))
