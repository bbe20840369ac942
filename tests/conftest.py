"""Two CPU devices, before anything imports JAX; strict about ranks and keys.

Programs are compiled without LLVM's optimisations, and fused the older way where XLA
still knows it: what they compute is the same, and making them takes most of the time.
"""

import dataclasses
import fnmatch
from importlib.metadata import version
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

_flags = os.environ.get("XLA_FLAGS", "")
_wanted = ["xla_force_host_platform_device_count=2", "xla_backend_optimization_level=0"]
if int(version("jaxlib").split(".")[1]) < 11:  # XLA aborts on a flag it does not know
    _wanted.append("xla_cpu_use_fusion_emitters=false")
for _flag in _wanted:
    if _flag.split("=")[0] not in _flags:
        _flags += f" --{_flag}"
os.environ["XLA_FLAGS"] = _flags.strip()
os.environ["JAX_PLATFORMS"] = "cpu"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # else pytest-xdist's parent set it
    _cache = tempfile.TemporaryDirectory(prefix="dlx-tests-")  # gone at exit
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    os.environ["XDG_CACHE_HOME"] = _cache.name  # no reference classifier from before

# ruff: noqa: E402
import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


def pytest_addoption(parser):
    parser.addoption(
        "--part",
        default="0/1",
        help="K/N: of the tests chosen so far each N-th, from the K-th modulo N on",
    )


def pytest_xdist_auto_num_workers():
    """Three workers for two cores: many tests wait for other processes."""
    return 3 * os.cpu_count() // 2


_SLOW = [
    line.replace("[", "[[]")  # in a test's name a bracket is a bracket
    for line in (pathlib.Path(__file__).with_name("slow.txt")).read_text().splitlines()
    if not line.startswith("#")
]


def pytest_itemcollected(item):
    name = item.nodeid.removeprefix("tests/")
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _SLOW):
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)  # once -m and -k have chosen
def pytest_collection_modifyitems(config, items):
    which, parts = map(int, config.getoption("--part").split("/"))
    kept = items[which % parts :: parts]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


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
    config.env.rocks_per_episode = 3  # so that films are short
    return config


@pytest.fixture
def gymnax():
    """gymnax, whose games reuse keys and promote ranks."""
    module = pytest.importorskip("gymnax", reason="gymnax is not installed")
    with jax.debug_key_reuse(False), jax.numpy_rank_promotion("allow"):
        yield module


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


@pytest.fixture(scope="session")
def digits_classifier():
    """Trains the digits' reference classifier with LLVM's optimisations.

    Its 2,400 steps take half the time with them.
    """
    code = (
        "from dlx.generative.measures import reference_classifier; "
        "reference_classifier.load('digits', None, None)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


# Imports once, and runs launch.main in a child process for each list of arguments.
_TRAININGS = """
import json, os, sys, tempfile
from launch import main, start
main.flags.mark_flag_as_required("config")
ends = []
for arguments in json.load(sys.stdin):
    files = [tempfile.TemporaryFile("w+") for _ in range(2)]
    if not (child := os.fork()):
        sys.argv = ["launch/main.py", *arguments]
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)
        start.run(main.main, trains=True)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ends.append([code, *(file.seek(0) or file.read() for file in files)])
print(json.dumps(ends))
"""


@pytest.fixture(scope="session")
def trainings():
    """Runs launch.main for lists of arguments: [(exit code, output, errors)].

    The imports are paid for once.
    """

    def run(lists):
        done = subprocess.run(
            [sys.executable, "-c", _TRAININGS],
            input=json.dumps([list(map(str, arguments)) for arguments in lists]),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return json.loads(done.stdout)

    return run
