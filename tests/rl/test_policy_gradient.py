"""The estimators against plain loops, the gradient by hand, devices against one."""

import os
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import streams, tasks
from dlx.envs import rocks
from dlx.envs.rocks_environment import Rocks
from dlx.errors import UserError
from dlx.rl import distributions, evaluation, rollouts
from dlx.rl import policy_gradient as pg
from dlx.rl import returns as returns_
from dlx.runtime import devices


@pytest.fixture
def played():
    """Rewards, values and discounts [time, env] with episodes that end on the way."""
    random = np.random.default_rng(0)
    rewards = random.normal(size=(9, 3)).astype(np.float32)
    values = random.normal(size=(10, 3)).astype(np.float32)
    discounts = 0.9 * (random.random((9, 3)) > 0.3).astype(np.float32)
    return rewards, values, discounts


def test_returns_are_the_plain_sum(played):
    rewards, values, discounts = played
    expected = np.zeros_like(rewards)
    for t in range(9):
        for env in range(3):
            weight = 1.0
            for later in range(t, 9):
                expected[t, env] += weight * rewards[later, env]
                weight *= discounts[later, env]
            expected[t, env] += weight * values[-1, env]
    returns = returns_.returns_to_go(rewards, discounts, values[-1])
    np.testing.assert_allclose(returns, expected, rtol=2e-5)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_gae_is_the_plain_sum(played, lambda_):
    rewards, values, discounts = played
    expected = np.zeros_like(rewards)
    for t in range(9):
        for env in range(3):
            weight = 1.0
            for later in range(t, 9):
                td_error = (
                    rewards[later, env]
                    + discounts[later, env] * values[later + 1, env]
                    - values[later, env]
                )
                expected[t, env] += weight * td_error
                weight *= discounts[later, env] * lambda_
    advantages = returns_.gae(rewards, values, discounts, lambda_)
    np.testing.assert_allclose(advantages, expected, rtol=1e-4, atol=1e-6)


def test_gae_with_lambda_1_is_returns_less_values(played):
    rewards, values, discounts = played
    returns = returns_.returns_to_go(rewards, discounts, values[-1])
    advantages = returns_.gae(rewards, values, discounts, 1.0)
    np.testing.assert_allclose(advantages, returns - values[:-1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", [False, True])
def test_reinforce_is_returns_with_or_without_a_baseline(config, played, baseline):
    config.algorithm, config.baseline = "reinforce", baseline
    rewards, values, discounts = played
    advantages, targets = returns_.advantages_and_targets(config, *played)
    returns = returns_.returns_to_go(rewards, discounts, values[-1] * baseline)
    np.testing.assert_allclose(targets, returns)
    np.testing.assert_allclose(advantages, returns - values[:-1] * baseline)


def test_times_that_do_not_fit_are_refused(played):
    rewards, values, discounts = played
    with pytest.raises(AssertionError):
        returns_.gae(rewards, values[:-1], discounts, 0.9)


def test_the_policy_gradient_of_a_bandit():
    # Three arms that pay 1, 0 and 4. The gradient of the expected pay with respect to
    # logit k is pi_k (pay_k - expected pay); sampled actions weigh as they are drawn.
    logits, pay = jnp.array([0.2, -0.4, 0.1]), jnp.array([1.0, 0.0, 4.0])
    probs = np.exp(logits) / np.exp(logits).sum()
    by_hand = probs * (pay - probs @ pay)

    def expected_loss(logits):
        arms = jnp.arange(3)
        nll = distributions.Categorical().nll(jnp.tile(logits[None], (3, 1)), arms)
        losses = pg.policy_gradient_loss(nll, pay)
        return jnp.sum(probs * losses)

    np.testing.assert_allclose(-jax.grad(expected_loss)(logits), by_hand, rtol=1e-5)


def test_entropy():
    entropy = distributions.Categorical().entropy
    np.testing.assert_allclose(entropy(jnp.zeros((2, 3))), np.log(3), rtol=1e-6)
    certain = jnp.array([[100.0, 0.0, 0.0]])
    np.testing.assert_allclose(entropy(certain), 0, atol=1e-6)


def _value_of_3(_, observations):
    """A network that always says 3."""
    batch = observations.shape[0]
    return jnp.zeros((batch, 3)), jnp.full(batch, 3.0)


class _Three:
    apply = staticmethod(_value_of_3)


@pytest.mark.parametrize(
    ("env", "reward"),
    [
        # Cut off after two steps: the value of where it stood stands for the rest.
        ({"size": 8, "max_steps": 2}, 0.5 * 3.0),
        # Ended by its only rock after two steps: nothing comes after it.
        ({"size": 3, "rocks_per_episode": 1}, 1.0),
    ],
)
def test_truncation_bootstraps_and_termination_does_not(config, env, reward):
    game = rocks.Params(**env)
    env = Rocks(game)
    config.rollout_steps, config.discount = 2, 0.5
    rollout = pg.make_rollout(config, env, _Three)
    task_state = rollouts.State(
        step=jnp.int32(0),
        params={},
        opt_state={},
        envs=rocks.reset(jax.random.key(0), game, 64)[1],
        returns=jnp.zeros(64),
        last_returns=jnp.zeros(64),
    )
    after, played = rollout({}, task_state, jax.random.key(1))
    np.testing.assert_array_equal(played.discounts, np.repeat([[0.5], [0]], 64, 1))
    np.testing.assert_allclose(np.abs(played.rewards[1]), reward, rtol=1e-6)
    np.testing.assert_array_equal(after.returns, 0)
    landed = game.max_steps is None
    np.testing.assert_array_equal(np.abs(after.last_returns), landed)


def _whole_batch_loss(config, state, device_keys):
    """Loss and gradient of all devices' rollouts as one batch, on one device."""
    env, network = pg.agent(config)
    rollout = pg.make_rollout(config, env, network)
    parts = []
    for device, key in enumerate(device_keys):
        local = {
            field: jax.tree.map(lambda x, d=device: x[d], getattr(state, field))
            for field in ("envs", "returns", "last_returns")
        }
        own = jax.device_get(state.replace(**local))
        after, played = rollout(own.params, own, jax.random.fold_in(key, 0))
        parts.append((played, after.envs))
    played = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *(p for p, _ in parts))
    last = jax.tree.map(lambda *x: jnp.concatenate(x), *(e for _, e in parts))
    loss = pg.make_loss(config, env, network)
    whole = jax.jit(
        jax.vmap(
            jax.value_and_grad(loss, has_aux=True),
            in_axes=(None, 0, 0, None),
            axis_name="devices",
        )
    )
    add_axis = jax.tree.map(lambda x: x[None], (played, last))
    (total, _), grads = whole(jax.device_get(state.params), *add_axis, 0)
    return total[0], jax.tree.map(lambda g: g[0], grads)


def test_entropy_is_rewarded_and_a_wrong_value_costs(config):
    config.entropy_cost, config.value_cost = 0.3, 0.7
    env, network = pg.agent(config)
    params = network.init(jax.random.key(1), jnp.zeros((1, 8, 8, 1)))
    state = devices.first_copy(
        task := tasks.make(config), devices.init(task, streams.Keys(0).init)
    )
    after, played = pg.make_rollout(config, env, network)(
        params, state, jax.random.key(2)
    )
    loss = jax.vmap(
        pg.make_loss(config, env, network), (None, 0, 0, None), axis_name="devices"
    )
    add_axis = jax.tree.map(lambda x: x[None], (played, after.envs))
    total, parts = jax.device_get(loss(params, *add_axis, 0))
    assert parts["entropy"][0] > 1 and parts["value_loss"][0] > 0
    expected = parts["policy_loss"] + 0.7 * parts["value_loss"]
    np.testing.assert_allclose(total, expected - 0.3 * parts["entropy"], rtol=1e-5)


def test_devices_give_the_update_of_one(config):
    """Two devices here, eight in `test_eight_devices`."""
    count = jax.device_count()
    assert count > 1
    config.entropy_cost = 0.1
    config.num_envs = 8 * count
    task, keys = tasks.make(config), streams.Keys(0)
    state = devices.init(task, keys.init)
    total, grads = _whole_batch_loss(
        config, state, devices.device_keys(streams.Keys(0).steps)
    )
    tx = evaluation.make_optimizer(config)
    updates, _ = tx.update(grads, tx.init(state.params), state.params)
    expected = jax.tree.map(jnp.add, jax.device_get(state.params), updates)
    step = devices.train_steps(task, state, 1)
    after, metrics = step(state, None, devices.device_keys(keys.steps))
    np.testing.assert_allclose(metrics["loss"][0], total, rtol=1e-4)
    # Adam's first update is the gradient's sign: only where there is one to speak of.
    near = jax.tree.map(
        lambda a, b, g: jnp.where(jnp.abs(g) > 1e-6, a - b, 0),
        jax.device_get(after.params),
        expected,
        grads,
    )
    chex.assert_trees_all_close(
        near, jax.tree.map(jnp.zeros_like, near), atol=1e-3 * config.learning_rate
    )


def test_eight_devices():
    test = f"{__file__}::test_devices_give_the_update_of_one"
    flag = "--xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", test],
        env=os.environ | {"XLA_FLAGS": flag},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_every_device_plays_its_own_games(config):
    state = devices.init(tasks.make(config), jax.random.key(0))
    paddles = np.asarray(state.envs.paddle)
    assert paddles.shape == (2, 16)
    assert (paddles[0] != paddles[1]).any()


def test_seeds_differ_and_repeat(config):
    task = tasks.make(config)

    def kernels(seed):
        state = devices.init(task, streams.Keys(seed).init)
        return np.concatenate([x.ravel() for x in jax.tree.leaves(state.params)])

    np.testing.assert_array_equal(kernels(3), kernels(3))
    assert (kernels(3) != kernels(4)).mean() > 0.9


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("algorithm", "a3c", "must be one of: 'a2c', .* got 'a3c'"),
        ("network", "rnn", "config.network must be one of: .* got 'rnn'"),
        ("features", (), "positive integer widths"),
        ("num_envs", 33, "does not divide over 2 devices"),
        ("num_envs", 0, "an integer in 1"),
        ("rollout_steps", 0, "an integer in 1"),
        ("task", "poker", "one of: .*policy_gradient"),
    ],
)
def test_configs_that_make_no_agent(config, field, value, why):
    config[field] = value
    with pytest.raises(UserError, match=why):
        tasks.make(config)


def test_a_game_that_is_none(config):
    config.env.size = 1
    with pytest.raises(UserError, match=r"config\.env: rocks: size must be at least 2"):
        tasks.make(config)
