"""The oracle against an exhaustive search."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.envs import measure, oracle, rocks


def _best_by_trying(params, paddle, columns):
    """The most that any sequence of actions catches, by an independent simulation."""
    best = 0
    for actions in itertools.product((-1, 0, 1), repeat=params.episode_steps):
        place, caught = paddle, 0
        for time, move in enumerate(actions, start=1):
            low, high = params.half_width, params.size - 1 - params.half_width
            place = min(high, max(low, place + move))
            for rock, column in enumerate(columns):
                if rock * params.interval + params.size - 1 == time:
                    caught += abs(column - place) <= params.half_width
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
    paddles = random.integers(params.half_width, params.size - params.half_width, 12)
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


def test_the_oracle_is_the_most_that_the_game_itself_gives():
    """Plays all 6,561 action sequences, on rocks of which some cannot be caught."""
    params = rocks.Params(size=5, spawn_every=2, rocks_per_episode=3)
    sequences = jnp.array(
        list(itertools.product(range(3), repeat=params.episode_steps))
    )
    play_all = jax.jit(
        jax.vmap(
            lambda actions, key: measure.with_actions(actions, params, key), (0, None)
        )
    )
    results = []
    for key in jax.random.split(jax.random.key(0), 8):
        screens, scores = play_all(sequences, key)
        caught = (np.max(scores[:, -1]) + 3) // 2
        # Rocks (1) appear in row 0, the paddle (2) is in the last row.
        paddle = jnp.argmax(screens[0, 0, -1] == 2)
        columns = jnp.argmax(screens[0, :6:2, 0] == 1, axis=-1)
        most = oracle.most_caught(paddle[None], columns[None], params)
        assert most[0] == caught
        results.append(int(caught))
    assert min(results) < 3 <= max(results), "some rocks cannot be caught"
