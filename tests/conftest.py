"""Two CPU devices, before anything imports JAX; strict about ranks and keys.

Programs are compiled without LLVM's optimisations, and fused the older way: what they
compute is the same, and making them takes most of the time.
"""

import dataclasses
import os
import signal
import tempfile

_flags = os.environ.get("XLA_FLAGS", "")
for _flag in (
    "xla_force_host_platform_device_count=2",
    "xla_backend_optimization_level=0",
    "xla_cpu_use_fusion_emitters=false",
):
    if _flag.split("=")[0] not in _flags:
        _flags += f" --{_flag}"
os.environ["XLA_FLAGS"] = _flags.strip()
os.environ["JAX_PLATFORMS"] = "cpu"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # else pytest-xdist's parent set it
    _cache = tempfile.TemporaryDirectory(prefix="dlx-tests-")  # gone at exit
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    os.environ["XDG_CACHE_HOME"] = _cache.name  # no judge from before

# ruff: noqa: E402
import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture
def config():
    """A run of seconds: pg_rocks8, shortened."""
    from configs import pg_rocks8

    config = pg_rocks8.get_config()
    config.num_envs = 32
    config.features = (16,)
    config.num_steps, config.log_steps = 12, 2
    config.eval_steps = config.checkpoint_steps = 4
    config.eval_rocks = 100
    return config


@pytest.fixture
def same_everywhere():
    """Of a tree as `pmap` returns it, asserts that all devices' copies are equal.

    `out_axes=None` says that they are; what one looks at is the first one's.
    """

    def check(tree):
        for leaf in jax.tree.leaves(tree):
            first, *others = (shard.data for shard in leaf.addressable_shards)
            assert len(others) == jax.device_count() - 1 and first.shape == leaf.shape
            for other in others:
                np.testing.assert_array_equal(first, other)

    return check


@pytest.fixture
def terminating():
    """Of a task, one that sends this process SIGTERM as soon as it is evaluated."""

    def change(task):
        def evaluate(state, key):
            os.kill(os.getpid(), signal.SIGTERM)
            return task.evaluate(state, key)

        return dataclasses.replace(task, evaluate=evaluate)

    return change
