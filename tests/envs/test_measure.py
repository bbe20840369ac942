"""Measures of policies whose results are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.envs import measure, rocks


def chase(observations):
    """Moves towards the rock; perfect if one rock falls at a time."""
    screens = observations[..., 0]
    size = screens.shape[1]
    columns = jnp.arange(size, dtype=jnp.float32)
    paddle = jnp.sum(screens[:, -1] * columns[None], -1) / jnp.sum(screens[:, -1], -1)
    rock = jnp.sum(screens[:, :-1] * columns[None, None], (1, 2))
    return (jnp.sign(rock - paddle) + 1).astype(jnp.int32)


def stay(observations):
    return jnp.ones(observations.shape[0], jnp.int32)


@pytest.mark.parametrize("width", [1, 3])
def test_starts(width):
    params = rocks.Params(size=8, paddle_width=width, max_steps=2)
    starts = 8 * (9 - width)
    assert measure.perfect_starts(chase, params) == (starts, starts)
    # A paddle that stays catches the rocks that fall on it.
    assert measure.perfect_starts(stay, params) == ((9 - width) * width, starts)


def test_episodes():
    params = rocks.Params(size=8, rocks_per_episode=5)
    measured = measure.episodes(chase, params, jax.random.key(0), 1001)
    assert measured["catch_rate"] == 1 and measured["episode_return"] == 5
    measured = measure.episodes(stay, params, jax.random.key(0), 10_000)
    # One rock in eight: 0.125 with a standard deviation of 0.0033.
    np.testing.assert_allclose(measured["catch_rate"], 0.125, atol=0.012)
    np.testing.assert_allclose(
        measured["episode_return"], 5 * (2 * measured["catch_rate"] - 1), rtol=1e-5
    )


def test_a_recording_shows_paddle_rocks_and_score():
    params = rocks.Params(size=8, rocks_per_episode=3, paddle_width=3)
    screens, scores = measure.record(chase, params, jax.random.key(0))
    assert screens.shape == (22, 8, 8)
    np.testing.assert_array_equal((screens == 2).sum((1, 2)), 3)
    np.testing.assert_array_equal((screens == 1).sum((1, 2)), [1] * 21 + [0])
    np.testing.assert_array_equal(
        np.array(scores)[[0, 6, 7, 13, 14, 21]], [0, 0, 1, 1, 2, 3]
    )
