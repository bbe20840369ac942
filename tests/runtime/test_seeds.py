"""Seeds side by side: each trains as it does alone and has its own results."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import streams, tasks
from dlx.errors import UserError
from dlx.runtime import devices, loop, restore
from dlx.runtime.evaluate import evaluate


@pytest.fixture(autouse=True)
def _no_key_reuse_check():
    """It takes a scan of keys under `vmap` for a reuse; alone, tasks are checked."""
    with jax.debug_key_reuse(False):
        yield


@pytest.fixture
def several(config):
    config.seeds = (3, 5)
    return config


def _trained(task, steps=4):
    keys = streams.Keys(0)
    state = devices.init(task, keys.init)
    device_keys = devices.device_keys(keys.steps)
    return devices.train_steps(task, state, steps)(state, None, device_keys)[0]


@pytest.mark.parametrize("name", ["policy_gradient", "dqn"])
def test_company_changes_nothing(name, config):
    if name == "dqn":
        from configs import dqn_rocks8

        config = dqn_rocks8.get_config()
    config.seeds = (3, 5)
    together = _trained(tasks.make(config))
    for number, seed in enumerate((3, 5)):
        config.seeds = (seed,)
        apart = _trained(tasks.make(config))
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, n=number: x[n], together.params["params"]),
            jax.tree.map(lambda x: x[0], apart.params["params"]),
            rtol=1e-4,
            atol=1e-5,
        )
    first, second = (
        jax.tree.leaves(jax.tree.map(lambda x, n=n: x[n], together.params["params"]))
        for n in range(2)
    )
    assert not any(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True) if a.ndim > 1
    )


def test_settings_beside_others_train_as_they_do_alone(config):
    config.seeds = (3,)
    config.settings = {"learning_rate": (1e-3, 2e-2), "discount": (0.9,)}
    task = tasks.make(config)
    together = _trained(task)
    numbers = task.evaluate(devices.first_copy(task, together), jax.random.key(1))
    del config.settings
    config.discount = 0.9
    for number, rate in enumerate((1e-3, 2e-2)):
        config.learning_rate = rate
        task = tasks.make(config)
        apart = _trained(task)
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, n=number: x[n], together.params["params"]),
            jax.tree.map(lambda x: x[0], apart.params["params"]),
            rtol=1e-4,
            atol=1e-5,
        )
        alone = task.evaluate(devices.first_copy(task, apart), jax.random.key(1))
        label = f"discount=0.9/learning_rate={rate}/3"  # sorted, as configs are
        assert numbers[f"perfect_starts/{label}"] == alone["perfect_starts/3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": (1.0,)}, "'rate' must be a field that holds a float"),
        ({"num_envs": (8.0, 16.0)}, "'num_envs' must be a field that holds a float"),
        ({"learning_rate": (1e-3, -1.0)}, "learning_rate must be a finite number"),
        ({"learning_rate": ()}, "settings must be a table of names and values, each"),
        ({"max_grad_norm": (1.0, 2.0)}, "max_grad_norm cannot all vary in one program"),
    ],
)
def test_settings_that_cannot_vary_are_a_line(several, settings, message):
    several.settings = settings
    with pytest.raises(UserError, match=message):
        devices.abstract(tasks.make(several), jax.random.key(0))


def test_a_run_and_its_evaluation(several, tmp_path):
    task = tasks.make(several)
    summary = loop.train(task, several, tmp_path, name="two")
    run = restore.load(tmp_path, tasks.make, best=False)
    again = evaluate(run.task, run.keys, run.step, run.state)
    metrics = summary["metrics"]
    both = metrics["perfect_starts/3"], metrics["perfect_starts/5"]
    assert metrics["perfect_starts"] == np.mean(both)
    assert {f"eval/{name}": n for name, n in metrics.items()} == again
    assert summary["env_steps"] == 2 * 12 * 32 * 7
    assert (tmp_path / "figures" / "learning_curve.png").exists()


def test_a_local_field_stays_local(several):
    task = tasks.make(several)
    state = devices.init(task, jax.random.key(0))
    count = jax.device_count()
    assert state.local["envs"].paddle.shape == (count, 2, 32 // count)
    assert state.step.shape == () and state.step.dtype == jnp.int32
    assert set(state.params) == {"step", "params", "opt_state"}


def _poisoned(state, *seeds):
    """The state with NaN in the parameters of some of its seeds."""
    params = state.params["params"]
    for n in seeds:
        params = jax.tree.map(lambda x, n=n: x.at[n].set(jnp.nan), params)
    return state.replace(params=state.params | {"params": params})


def test_a_seed_that_diverges_ends_alone(several):
    task, keys = tasks.make(several), streams.Keys(0)
    steps = devices.train_steps(task, devices.init(task, keys.init), 4)
    device_keys = devices.device_keys(keys.steps)

    def after(*diverged):
        state = _poisoned(devices.init(task, keys.init), *diverged)
        return steps(state, None, device_keys)

    (healthy, _), (state, metrics) = after(), after(0)
    for x, y in zip(
        jax.tree.leaves(state.params["params"]),
        jax.tree.leaves(healthy.params["params"]),
        strict=True,
    ):
        assert np.isnan(x[0]).all()
        np.testing.assert_array_equal(x[1], y[1])
    assert all(np.isfinite(x).all() for x in metrics.values())
    numbers = task.evaluate(devices.first_copy(task, state), jax.random.key(1))
    assert np.isnan(numbers["perfect_starts/3"])
    assert numbers["perfect_starts"] == numbers["perfect_starts/5"]
    _, metrics = after(0, 1)
    assert np.isnan(metrics["loss"]).all()  # of which the loop makes an error
