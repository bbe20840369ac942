"""Other libraries' checkers, and equality with the batched game."""

import gymnasium
from gymnasium.utils.env_checker import check_env
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.envs import adapters, rocks


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("render_mode", [None, "rgb_array", "ansi"])
def test_gymnasiums_checker_passes(render_mode):
    env = gymnasium.make("dlx/Rocks-v0", size=8, render_mode=render_mode)
    check_env(env.unwrapped)


def hand(env):
    """Moves towards the rock, on [n, size, size, 1] screens with one rock each."""
    screens = env[..., 0]
    columns = np.arange(screens.shape[1])
    paddle = (screens[:, -1] * columns).sum(-1)
    rock = (screens[:, :-1] * columns).sum((1, 2))
    return np.sign(rock - paddle).astype(int) + 1


def test_a_game_catches_all_its_rocks():
    env = gymnasium.make("dlx/Rocks-v0", size=8, rocks_per_episode=3)
    observation, info = env.reset(seed=3)
    assert info == {}
    rewards = []
    for step in range(1, 22):
        action = hand(observation[None])[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        assert observation in env.observation_space
        rewards.append(reward)
        assert (terminated, truncated) == (step == 21, False)
    assert np.flatnonzero(rewards).tolist() == [6, 13, 20]
    assert set(rewards) == {0.0, 1.0}


def test_a_game_is_cut_off():
    env = gymnasium.make("dlx/Rocks-v0", size=8, max_steps=5)
    env.reset(seed=0)
    ends = [env.step(1)[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


def test_seeds():
    env = gymnasium.make("dlx/Rocks-v0", size=16)
    first = [env.reset(seed=seed)[0] for seed in (7, 7, 8)]
    assert np.array_equal(first[0], first[1]) and not np.array_equal(first[0], first[2])
    env.reset(seed=7)
    later = {env.reset()[0].tobytes() for _ in range(20)}
    assert len(later) > 10, "without a seed games differ"


def test_renderings():
    env = gymnasium.make("dlx/Rocks-v0", size=4, render_mode="ansi")
    observation, _ = env.reset(seed=0)
    rows = env.render().splitlines()
    assert rows[0] == rows[-1] == "+--------+"
    shown = np.array(
        [[row[i : i + 2] != " ." for i in (1, 3, 5, 7)] for row in rows[1:-1]]
    )
    assert np.array_equal(shown, observation[..., 0] == 1)
    env = gymnasium.make("dlx/Rocks-v0", size=4, render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (64, 64, 3) and frame.dtype == np.uint8
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) == 3


@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_invalid_games_are_refused(make):
    with pytest.raises(ValueError, match="paddle_width must be odd"):
        make("dlx/Rocks-v0", paddle_width=2)
    with pytest.raises(ValueError, match="render_mode must be one of"):
        adapters.RocksEnv(render_mode="human")


def test_vector_env_plays_the_batched_game():
    envs = gymnasium.make_vec("dlx/Rocks-v0", num_envs=6, size=4, rocks_per_episode=2)
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    assert envs.metadata["autoreset_mode"] == mode
    observations, _ = envs.reset(seed=1)
    state, generator = envs.unwrapped._state, np.random.default_rng(0)
    game = rocks.Params(size=4, rocks_per_episode=2)
    for step in range(1, 13):
        assert observations in envs.observation_space
        actions = generator.integers(3, size=6)
        key = jax.random.fold_in(jax.random.key(envs.unwrapped._seed), step)
        expected, state, *rest, info = rocks.step(key, state, jnp.array(actions), game)
        observations, *got, infos = envs.step(actions)
        np.testing.assert_array_equal(observations, expected)
        for a, b in zip(got, rest, strict=True):
            np.testing.assert_array_equal(a, b)
        assert ("final_obs" in infos) == (step % 6 == 0)
        if infos:
            assert infos["_final_obs"].all()
            np.testing.assert_array_equal(
                np.stack(infos["final_obs"]), info["final_observation"]
            )


def test_a_seed_for_each_game():
    envs = gymnasium.make_vec("dlx/Rocks-v0", num_envs=3, size=16)
    first, again, other = (
        envs.reset(seed=s)[0] for s in ([1, 2, 3], [1, 2, 3], [1, 2, 4])
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    with pytest.raises(ValueError, match="2 seeds were given for 3 games"):
        envs.reset(seed=[1, 2])


def test_vector_env_under_gymnasiums_own_wrappers():
    envs = gymnasium.make_vec("dlx/Rocks-v0", num_envs=3, size=4, rocks_per_episode=1)
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
    envs.reset(seed=0)
    for _ in range(3):
        _, rewards, terminated, _, infos = envs.step(np.ones(3, int))
    assert terminated.all()
    np.testing.assert_array_equal(infos["episode"]["r"], rewards)
    np.testing.assert_array_equal(infos["episode"]["l"], [3, 3, 3])


def test_stable_baselines_trains():
    pytest.importorskip("stable_baselines3", reason="it is not installed")
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_checker import check_env
    from stable_baselines3.common.evaluation import evaluate_policy

    env = gymnasium.make("dlx/Rocks-v0", size=4)
    check_env(env.unwrapped, warn=False)
    model = DQN("MlpPolicy", env, 5e-3, learning_starts=200, seed=0, device="cpu")
    before, _ = evaluate_policy(model, env, 5, warn=False)
    model.learn(3000)
    after, _ = evaluate_policy(model, env, 5, warn=False)
    assert before < -2 and after > before + 2
