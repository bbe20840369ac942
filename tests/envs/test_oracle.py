"""The best possible, against trying everything."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.envs import oracle, play, rocks


def _best_by_trying(params, paddle, columns):
    """Every sequence of actions, on the game itself but for the columns."""
    best = 0
    for actions in itertools.product((-1, 0, 1), repeat=params.episode_steps):
        place, caught = paddle, 0
        for time, move in enumerate(actions, start=1):
            low, high = params.reach, params.size - 1 - params.reach
            place = min(high, max(low, place + move))
            for rock, column in enumerate(columns):
                if rock * params.interval + params.size - 1 == time:
                    caught += abs(column - place) <= params.reach
        best = max(best, caught)
    return best


@pytest.mark.parametrize(
    "params",
    [
        rocks.Params(size=4, rocks_per_episode=2),
        rocks.Params(size=5, spawn_every=1, rocks_per_episode=4),
        rocks.Params(size=6, spawn_every=2, paddle_width=3, rocks_per_episode=2),
        rocks.Params(size=3, spawn_every=5, rocks_per_episode=2),
    ],
    ids=str,
)
def test_the_oracle_is_the_best_of_all_plays(params):
    random = np.random.default_rng(0)
    paddles = random.integers(params.reach, params.size - params.reach, 12)
    columns = random.integers(0, params.size, (12, params.rocks_per_episode))
    most = oracle.most_caught(jnp.array(paddles), jnp.array(columns), params)
    for i in range(12):
        assert most[i] == _best_by_trying(params, int(paddles[i]), columns[i])


def test_one_rock_at_a_time_can_always_be_caught():
    params = rocks.Params(size=8)
    key = jax.random.key(0)
    columns = jax.random.randint(key, (50, 10), 0, 8)
    paddles = jnp.arange(50) % 8
    np.testing.assert_array_equal(oracle.most_caught(paddles, columns, params), 10)


def test_nobody_beats_the_oracle_in_the_rain():
    params = rocks.Params(size=8, spawn_every=2)

    def stay(observations):
        return jnp.ones(observations.shape[0], jnp.int32)

    measured = play.episodes(stay, params, jax.random.key(0), 2000)
    assert 0 < measured["optimal_fraction"] < 0.7
    # What was caught is the same in both: their quotient is the oracle's own rate.
    most = measured["catch_rate"] / measured["optimal_fraction"]
    assert measured["catch_rate"] < most <= 1
