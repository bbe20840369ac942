"""The gymnax interface: equality with the batched game, and gymnax's own wrappers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.envs.gymnax import GymnaxRocks


def chase(observations):
    """Moves towards the rock, on [n, size, size, 1] screens with one rock each."""
    screens = observations[..., 0]
    columns = np.arange(screens.shape[1])
    paddle = (screens[:, -1] * columns).sum(-1)
    rock = (screens[:, :-1] * columns).sum((1, 2))
    return np.sign(rock - paddle).astype(int) + 1


def test_the_gymnax_interface_plays_the_same_game():
    env = GymnaxRocks(size=8, rocks_per_episode=2)
    params = env.default_params
    keys = jax.random.split(jax.random.key(0), 5)
    observations, state = jax.vmap(env.reset, (0, None))(keys, params)
    assert observations.shape == (5, 8, 8, 1) and state.paddle.shape == (5,)
    step = jax.vmap(env.step, (0, 0, 0, None))
    for time in range(1, params.max_steps_in_episode + 1):
        actions = chase(np.asarray(observations))
        keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
        observations, state, reward, terminated, truncated, info = step(
            keys, state, jnp.array(actions), params
        )
        assert set(reward.tolist()) == {float(time % 7 == 0)}
        assert set(terminated.tolist()) == {time == 14} and not truncated.any()
        np.testing.assert_array_equal(info["discount"], 1.0 - terminated)
    assert (state.time == 0).all(), "ended and restarted"
    assert (info["final_observation"][:, :-1] == 0).all(), "the last rock has landed"


def test_gymnax_step_env_does_not_reset():
    env = GymnaxRocks(size=4, rocks_per_episode=1, max_steps=2)
    reset_key, *keys = jax.random.split(jax.random.key(0), 4)
    _, state = env.reset(reset_key)
    for time, key in enumerate(keys, start=1):
        observation, state, reward, terminated, _ = env.step_env(key, state, 1)
        np.testing.assert_array_equal(observation, env.get_obs(state))
        assert state.time == time and terminated == (time == 3)
        assert env.is_truncated(state) == (time == 2)
    assert abs(reward) == 1


def test_gymnax_spaces_contain_observations_and_states():
    pytest.importorskip("gymnax", reason="gymnax is not installed")
    env = GymnaxRocks(size=8, spawn_every=3)
    observation, state = env.reset(jax.random.key(1))
    assert env.observation_space().contains(observation)
    assert env.observation_space().dtype == observation.dtype
    assert env.action_space().n == env.num_actions == 3
    spaces = env.state_space().spaces
    assert all(spaces[name].contains(getattr(state, name)) for name in spaces)


def test_gymnax_code_for_catch_runs():
    gymnax = pytest.importorskip("gymnax", reason="gymnax is not installed")
    from gymnax.wrappers import LogWrapper

    for env, params in (
        gymnax.make("Catch-bsuite"),
        (GymnaxRocks(size=8), GymnaxRocks(size=8).default_params),
    ):
        env = LogWrapper(env)

        def rollout(key, env=env, params=params):
            def one(carry, key):
                state, _ = carry
                action = env.action_space(params).sample(key)
                observation, state, *rest = env.step(key, state, action, params)
                return (state, observation), rest[0]

            observation, state = env.reset(key, params)
            keys = jax.random.split(key, params.max_steps_in_episode)
            return jax.lax.scan(one, (state, observation), keys)[1]

        with jax.debug_key_reuse(False):
            rewards = jax.jit(jax.vmap(rollout))(jax.random.split(jax.random.key(0), 4))
        assert set(np.unique(rewards)) == {-1.0, 0.0, 1.0}
