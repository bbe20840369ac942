"""gymnax's games behind the interface, beside gymnax's own functions."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.envs import registration
from dlx.errors import UserError
from dlx.runtime import devices

FEW = ["CartPole-v1", "Breakout-MinAtar", "Pendulum-v1"]
REST = [
    *(f"{name}-MinAtar" for name in ("Asterix", "Freeway", "Seaquest")),
    *(f"{name}-bsuite" for name in ("Catch", "DeepSea", "SimpleBandit")),
    *(f"{name}-misc" for name in ("FourRooms", "PointRobot", "Pong", "FrozenLake")),
    *("Acrobot-v1", "MountainCar-v0", "SpaceInvaders-MinAtar"),
    *("MemoryChain-bsuite", "UmbrellaChain-bsuite"),  # observations are kept
]


pytestmark = pytest.mark.usefixtures("gymnax")


def _actions(env, key):
    if env.num_actions:
        return jax.random.randint(key, (3,), 0, env.num_actions)
    return jax.random.uniform(key, (3, *env.action_shape), minval=-1, maxval=1)


def _abstract(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


@pytest.mark.parametrize(
    "name", [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)]
)
def test_a_game_is_gymnaxs(name):
    env = registration.make(f"gymnax/{name}")
    space = env.env.action_space(env.params)

    @jax.jit
    def expected(key, state, actions):
        keys = jax.random.split(key, 3)
        if env.num_actions is None:
            middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
            actions = middle + half * actions
        step = jax.vmap(
            lambda key, *args: env.env.step_env(jax.random.split(key)[0], *args),
            (0, 0, 0, None),
        )
        observation, game, reward, terminated, _ = step(
            keys, state.game, actions, env.params
        )
        cut = jax.vmap(env.env.is_truncated, (0, None))(game, env.params)
        return observation, reward, terminated, cut & ~terminated

    @jax.jit
    def play(key, state, actions):
        state, last, *rest = env.step(key, state, actions)
        return state, env.observe(state), env.observe(last), *rest

    state = jax.jit(env.reset, static_argnums=1)(jax.random.key(0), 3)
    kinds, ended = _abstract(state), False
    for time in range(30):
        key = jax.random.fold_in(jax.random.key(1), time)
        actions = _actions(env, key)
        theirs = expected(key, state, actions)
        state, now, last, *rest = play(key, state, actions)
        assert _abstract(state) == kinds and last.dtype == jnp.float32
        np.testing.assert_allclose(last, theirs[0], rtol=1e-6, atol=1e-6)
        jax.tree.map(np.testing.assert_array_equal, tuple(rest), theirs[1:])
        over = np.array(rest[1] | rest[2])
        np.testing.assert_array_equal(now[~over], last[~over])
        ended |= over.any()
    assert ended or name not in ("CartPole-v1", "Breakout-MinAtar")


def test_an_episode_is_cut_off_and_not_terminated():
    env = registration.make("gymnax/Pendulum-v1", max_steps_in_episode=3)
    state = env.reset(jax.random.key(0), 2)
    for time in range(1, 4):
        state, last, _, terminated, truncated = env.step(
            jax.random.key(time), state, jnp.zeros((2, 1))
        )
        assert not terminated.any() and truncated.all() == (time == 3)
    np.testing.assert_array_equal(last.game.time, 3)
    np.testing.assert_array_equal(state.game.time, 0)
    assert env.max_episode_steps == 3 and env.truncates


def test_observations_that_are_no_function_of_the_state_are_kept():
    for name, kept in (("UmbrellaChain-bsuite", True), ("Catch-bsuite", False)):
        env = registration.make(f"gymnax/{name}")
        state = env.reset(jax.random.key(0), 2)
        assert (state.observation is not None) == kept


def test_what_is_no_game_is_a_line(monkeypatch):
    with pytest.raises(UserError, match=r"config\.env: .*Nothing-v7"):
        registration.make("gymnax/Nothing-v7")
    with pytest.raises(UserError, match=r"config\.env: .*max_setps"):
        registration.make("gymnax/CartPole-v1", max_setps=3)
    monkeypatch.setitem(sys.modules, "gymnax", None)
    with pytest.raises(UserError, match=r"needs gymnax, which takes JAX below 0\.12"):
        registration.make("gymnax/CartPole-v1")


def test_continuous_actions_need_a_policy_gradient():
    from configs import pqn_rocks16

    config = pqn_rocks16.get_config()
    with config.unlocked():
        config.env = {"name": "gymnax/Pendulum-v1"}
    with pytest.raises(UserError, match="pqn needs discrete actions"):
        tasks.make(config)


def test_the_minatar_config_trains_a_step():
    from configs import pqn_minatar

    config = pqn_minatar.get_config()
    config.update(num_envs=8, rollout_steps=4, minibatches=2, num_steps=2)
    task = tasks.make(config)
    state = devices.init(task, jax.random.key(0))
    steps = devices.train_steps(task, state, 2)
    state, metrics = steps(state, None, devices.device_keys(jax.random.key(1)))
    assert int(state.step) == 2 and np.isfinite(metrics["loss"]).all()
