"""Memory that is free, and a state or program that does not fit."""

import resource

import jax
import numpy as np
import pytest

from configs import dqn_rocks8
from dlx import errors, tasks
from dlx.errors import UserError
from dlx.runtime import devices, loop, memory


@pytest.fixture
def config():
    config = dqn_rocks8.get_config()
    config.update(num_envs=4, batch_size=8, replay_size=1000, features=(8,))
    config.update(num_steps=4, log_steps=2, eval_steps=4, checkpoint_steps=4)
    return config


def test_the_least_of_all_bounds_is_free(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 3000 kB\n")
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("4000000\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "nowhere")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 0))
    assert memory.free(jax.devices()[0]) == 3000 * 1024
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free(jax.devices()[0]) == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")  # no limit
    assert memory.free(jax.devices()[0]) == 3000 * 1024
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**50 + 7, 0))
    assert memory.free(jax.devices()[0]) == 3000 * 1024


def test_a_state_that_does_not_fit_is_refused_before_it_is_made(
    config, tmp_path, monkeypatch
):
    config.replay_size = 2**30  # 20 bytes each
    monkeypatch.setattr(memory, "free", lambda device: 2**30)
    monkeypatch.setattr(devices, "init", lambda *_: pytest.fail("allocated"))
    task = tasks.make(config)
    with pytest.raises(UserError, match=r"'replay' is .* GiB, .* and 1 GiB are free"):
        loop.train(task, config, tmp_path / "run", name="test")
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_size_of_a_state_is_that_of_its_arrays(config, monkeypatch):
    task = tasks.make(config)
    key = jax.random.key(0)
    asked = []
    monkeypatch.setattr(memory, "require", lambda needed, reason: asked.append(needed))
    memory.require_for_state(devices.abstract(task, key))
    state = devices.first_copy(task, devices.init(task, key))
    assert asked == [sum(np.asarray(x).nbytes for x in jax.tree.leaves(state))]


def test_a_program_that_does_not_fit_is_refused(monkeypatch):
    def products(x):
        return (x @ x).sum() + (x.T @ x).max()

    shape = jax.ShapeDtypeStruct((1000, 1000), "f4")
    program = jax.jit(products).lower(shape).compile()
    memory.require_for_program(program)
    monkeypatch.setattr(memory, "free", lambda device: 1000)
    with pytest.raises(UserError, match="temporary arrays of a training step take"):
        memory.require_for_program(program)
    with pytest.raises(UserError, match="temporary arrays of a product take"):
        memory.run("a product", products, np.ones((1000, 1000), "f4"))
    monkeypatch.undo()
    assert memory.run("a sum", lambda x: x.sum(), np.ones(5, np.int32)) == 5


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError("Unable to allocate 9 TiB"), 2),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), 2),
        (RuntimeError("INTERNAL: a bug"), None),
        (ValueError("out of memory"), None),
    ],
)
def test_memory_that_is_exhausted_is_no_bug(error, status):
    code, line = errors.exit_status(error) or (None, "")
    assert code == status and ("smaller sizes" in line) == (status == 2)


def test_sizes_are_written_in_the_usual_unit():
    sizes = {1: "1 bytes", 1024: "1 KiB", 2**30 * 3 // 2: "1.5 GiB"}
    assert all(memory.size(n).startswith(text) for n, text in sizes.items())
