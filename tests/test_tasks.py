"""An experiment of somebody else's needs no change in dlx."""

import json

import ml_collections
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import loop, restore

LINE = '''
"""Fits y = 2 x by gradient descent."""

from flax import struct
import jax
import jax.numpy as jnp

from dlx.runtime.task import Abilities, Task


@struct.dataclass
class State:
    step: jax.Array
    params: jax.Array


def make(config):
    def init(key):
        del key
        return State(jnp.int32(0), jnp.float32(0))

    def loss(slope, x):
        return jnp.mean((slope * x - 2 * x) ** 2)

    def step(state, batch, key):
        del batch
        x = jax.random.normal(key, (8,))
        value, gradient = jax.value_and_grad(loss)(state.params, x)
        gradient = jax.lax.pmean(gradient, "devices")
        params = state.params - config.learning_rate * gradient
        numbers = {"loss": value, "l2_params": jnp.abs(params)}
        return State(state.step + 1, params), numbers

    def evaluate(state, key):
        return {"minus_error": -jnp.abs(state.params - 2)}

    return Task(
        init, step, evaluate, lambda state, key: {}, metric="minus_error",
        counts={"examples": 8},
    )


abilities = Abilities(encode=lambda config, state: state.params)
'''


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A config of a task in a package that dlx does not know."""
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package" / "line.py").write_text(LINE)
    (tmp_path / "their_package" / "empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return ml_collections.ConfigDict(
        {
            "task": "their_package.line", "seed": 0, "learning_rate": 0.1,
            "num_steps": 40, "log_steps": 10, "eval_steps": 20,
            "checkpoint_steps": 20, "keep_checkpoints": 1,
        }
    )  # fmt: skip


def test_a_task_by_its_import_path_trains_and_is_read_back(line, tmp_path):
    workdir = tmp_path / "run"
    summary = loop.train(tasks.make(line), line, workdir, name="line")
    assert summary["task"] == "their_package.line" and summary["status"] == "done"
    assert json.loads((workdir / "config.json").read_text())["task"] == line.task
    run = restore.load(workdir, tasks.make)
    assert abs(run.state.params - 2) < 1e-2
    abilities = tasks.abilities(run.config)
    assert abilities.encode(run.config, run.state) == run.state.params
    assert abilities.play is abilities.classify is None


def test_seeds_side_by_side_have_no_abilities(line):
    line.seeds = (0, 1)
    assert tasks.abilities(line) == tasks.Abilities()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("their_package.empty", r"'their_package.empty', which has no make\(config\)"),
        ("their_package.none", "'their_package.none'; it must be an import path"),
        ("nowhere.line", "'nowhere.line'; it must be an import path"),
        ("pq", "'pq'; .* one of: airbench, classifier, dqn"),
        (None, "None; it must be"),
        (3, "3; it must be"),
    ],
)
def test_what_names_no_task_is_refused(line, name, why):
    config = line.to_dict() | {"task": name}
    with pytest.raises(UserError, match=why):
        tasks.make(ml_collections.ConfigDict(config))


def test_every_short_name_is_a_task(monkeypatch):
    for name in tasks.OURS:
        assert callable(tasks.module(ml_collections.ConfigDict({"task": name})).make)
