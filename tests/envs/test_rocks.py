"""The game against the rules: played by hand, and move by move beside a second one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.envs import rocks


class PlainRocks:
    """The rules again, for one game, with rocks as a list of [row, column]."""

    def __init__(self, params, paddle, column):
        self.n, self.half = params.size, (params.paddle_width - 1) // 2
        self.k = params.spawn_every or params.size - 1
        self.total, self.max_steps = params.rocks_per_episode, params.max_steps
        self.paddle, self.rocks = paddle, [[0, column]]
        self.steps, self.spawned, self.landed = 0, 1, 0

    def step(self, action, column):
        """Returns (reward, terminated, truncated); `column` is for a rock to come."""
        self.steps += 1
        self.paddle += {0: -1, 1: 0, 2: 1}[action]
        self.paddle = max(self.half, min(self.n - 1 - self.half, self.paddle))
        for rock in self.rocks:
            rock[0] += 1
        reward = 0
        for rock in [rock for rock in self.rocks if rock[0] == self.n - 1]:
            reward += 1 if abs(rock[1] - self.paddle) <= self.half else -1
            self.landed += 1
            self.rocks.remove(rock)
        if self.steps % self.k == 0 and self.spawned < self.total:
            self.rocks.append([0, column])
            self.spawned += 1
        terminated = self.landed == self.total
        cut = self.max_steps is not None and self.steps >= self.max_steps
        return reward, terminated, cut and not terminated

    def screen(self):
        screen = np.zeros((self.n, self.n, 1))
        for row, column in self.rocks:
            screen[row, column] = 1
        screen[-1, self.paddle - self.half : self.paddle + self.half + 1] = 1
        return screen


GAMES = [
    rocks.Params(),
    rocks.Params(size=8, rocks_per_episode=3),
    rocks.Params(size=2, rocks_per_episode=4),
    rocks.Params(size=9, paddle_width=3, spawn_every=4),
    rocks.Params(size=8, spawn_every=1, rocks_per_episode=20),
    rocks.Params(size=8, spawn_every=3, max_steps=17),
    rocks.Params(size=6, spawn_every=11, rocks_per_episode=2),
    rocks.Params(size=5, paddle_width=5, rocks_per_episode=1),
    rocks.Params(size=7, max_steps=1),
]


@pytest.mark.parametrize("params", GAMES, ids=str)
def test_move_by_move_as_the_plain_game(params):
    num_envs = 4
    play = jax.jit(rocks.step)
    reset_key, play_key = jax.random.split(jax.random.key(1))
    obs, state = rocks.reset(reset_key, params, num_envs)
    games = [_begin(params, state, i) for i in range(num_envs)]
    np_random = np.random.default_rng(2)
    for key in jax.random.split(play_key, 2 * params.episode_steps + 3):
        actions = np_random.integers(0, 3, num_envs)
        obs, state, reward, terminated, truncated, info = jax.device_get(
            play(key, state, actions, params)
        )
        final = info["final_observation"]
        for i, game in enumerate(games):
            column = final[i, 0].argmax()  # of a rock that has just appeared, if any
            theirs = game.step(int(actions[i]), int(column))
            assert (reward[i], terminated[i], truncated[i]) == theirs
            np.testing.assert_array_equal(final[i], game.screen())
            if terminated[i] or truncated[i]:
                games[i] = _begin(params, state, i)
            np.testing.assert_array_equal(obs[i], games[i].screen())


def _begin(params, state, i):
    return PlainRocks(params, int(state.paddle[i]), int(state.columns[i, 0]))


def _game(params, paddle, column):
    columns = jnp.full((1, params.max_rocks), column)
    return rocks.State(jnp.zeros(1, jnp.int32), jnp.array([paddle]), columns)


def _play(params, state, actions):
    """All rewards of one game without the automatic reset, and the last answer."""
    rewards = []
    for key, action in zip(
        jax.random.split(jax.random.key(0), len(actions)), actions, strict=True
    ):
        answer = rocks.step_env(key, state, jnp.array([action]), params)
        state = answer[1]
        rewards.append(float(answer[2][0]))
    return rewards, answer


def test_a_rock_caught_by_hand():
    params = rocks.Params(size=4, rocks_per_episode=1)
    state = _game(params, paddle=0, column=2)
    np.testing.assert_array_equal(
        rocks.render(state, params, jnp.uint8)[0, ..., 0],
        [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]],
    )
    rewards, (obs, _, _, terminated, truncated, info) = _play(params, state, [2, 2, 1])
    assert rewards == [0, 0, 1]
    assert terminated[0] and not truncated[0] and info == {}
    np.testing.assert_array_equal(obs[0, ..., 0].sum(axis=1), [0, 0, 0, 1])


def test_a_rock_missed_by_hand():
    params = rocks.Params(size=4, rocks_per_episode=2)
    rewards, (obs, _, _, terminated, *_) = _play(
        params, _game(params, paddle=0, column=2), [2, 2, 0]
    )
    assert rewards == [0, 0, -1]
    assert not terminated[0]
    assert obs[0, 0].sum() == 1, "the next rock appears as this one lands"


@pytest.mark.parametrize(("action", "wall"), [(0, 1), (2, 6)])
def test_the_paddle_stops_at_the_walls(action, wall):
    params = rocks.Params(size=8, paddle_width=3)
    _, (obs, state, *_) = _play(params, _game(params, 3, 0), [action] * 7)
    assert state.paddle[0] == wall
    assert obs[0, -1].sum() == 3


def test_no_action_moves_further_than_a_column():
    params = rocks.Params(size=8)
    for action, column in ((-5, 2), (9, 4)):
        assert _play(params, _game(params, 3, 0), [action])[1][1].paddle[0] == column


def test_the_episode_ends_with_the_last_rock():
    params = rocks.Params(size=5, spawn_every=3, rocks_per_episode=3)
    rewards, (_, _, _, terminated, *_) = _play(params, _game(params, 2, 2), [1] * 10)
    assert params.episode_steps == 10
    assert [r != 0 for r in rewards] == [t in (4, 7, 10) for t in range(1, 11)]
    assert terminated[0]


def test_no_two_rocks_ever_land_together():
    # One appears a step at the most and all fall alike, even when it rains hardest:
    # so the rewards of a step are those of one rock.
    params = rocks.Params(size=6, spawn_every=1, rocks_per_episode=9)
    rewards, _ = _play(params, _game(params, 2, 2), [1] * params.episode_steps)
    assert [abs(r) for r in rewards] == [0] * 4 + [1] * 9


def test_a_terminated_episode_is_not_truncated():
    params = rocks.Params(size=4, rocks_per_episode=1, max_steps=3)
    _, (_, _, _, terminated, truncated, _) = _play(params, _game(params, 0, 0), [1] * 3)
    assert terminated[0] and not truncated[0]


def test_truncation_resets_and_shows_the_last_screen():
    params = rocks.Params(size=8, max_steps=2)
    key = jax.random.key(3)
    state = _game(params, 4, 4)
    _, state, _, _, truncated, _ = rocks.step(key, state, jnp.array([1]), params)
    assert not truncated[0]
    key = jax.random.key(4)
    obs, state, _, terminated, truncated, info = rocks.step(
        key, state, jnp.array([1]), params
    )
    assert truncated[0] and not terminated[0]
    assert state.time[0] == 0 and obs[0, 0].sum() == 1
    assert info["final_observation"][0, 2, 4] == 1


def test_starts_are_uniform():
    params = rocks.Params(size=12, paddle_width=3)
    num_envs = 120_000
    _, state = rocks.reset(jax.random.key(0), params, num_envs)
    places = np.bincount(state.paddle, minlength=12)
    columns = np.bincount(state.columns[:, 0], minlength=12)
    assert places[[0, 11]].sum() == 0, "the paddle is wholly on the screen"
    for counts in (places[1:11], columns):
        expected = num_envs / len(counts)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert chi2 < 31.3, "99.9 % of the chi-square with 11 degrees of freedom"
    # Paddle and rock come out of one random word: they must not know of each other.
    assert abs(np.corrcoef(state.paddle, state.columns[:, 0])[0, 1]) < 0.01


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.uint8])
def test_shapes_and_dtypes(dtype):
    params = rocks.Params(size=8, spawn_every=3)
    reset_key, key = jax.random.split(jax.random.key(0))
    obs, state = rocks.reset(reset_key, params, 5, dtype)
    actions = jnp.zeros(5, jnp.uint8)
    obs, state, reward, terminated, truncated, info = rocks.step(
        key, state, actions, params, dtype
    )
    for screen in (obs, info["final_observation"]):
        assert screen.shape == (5, 8, 8, 1) and screen.dtype == dtype
    assert reward.shape == (5,) and reward.dtype == jnp.float32
    assert terminated.shape == truncated.shape == (5,)
    assert terminated.dtype == truncated.dtype == bool
    assert all(leaf.shape[0] == 5 for leaf in jax.tree.leaves(state))
    bytes_per_env = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 5
    assert bytes_per_env == 4 * (2 + 3), "time, paddle, three columns: no pixels"


def test_vmap_over_batches_is_a_loop_over_batches():
    params = rocks.Params(size=8)
    keys = jax.random.split(jax.random.key(0), 3)
    obs, states = jax.vmap(lambda key: rocks.reset(key, params, 4))(keys)
    for i, key in enumerate(jax.random.split(jax.random.key(0), 3)):
        alone, _ = rocks.reset(key, params, 4)
        np.testing.assert_array_equal(obs[i], alone)
    assert states.paddle.shape == (3, 4)


def test_wrong_actions_are_refused():
    params = rocks.Params(size=8)
    state = _game(params, 4, 4)
    for actions in (jnp.zeros(2, jnp.int32), jnp.zeros(1)):
        with pytest.raises(AssertionError):
            rocks.step(jax.random.key(0), state, actions, params)


def _beyond_int32():
    """Games with 2^31 pixels and some more, each paddle and rock somewhere else."""
    params, num_envs = rocks.Params(size=4096), 130
    number = jnp.arange(num_envs, dtype=jnp.int32)
    state = rocks.State(jnp.zeros_like(number), 3 * number, 5 * number[:, None] + 1)
    return jax.tree_util.Partial(rocks.render, dtype=jnp.uint8), state, params


def test_more_pixels_than_int32_counts_can_be_asked_for():
    render, *games = _beyond_int32()
    assert jax.eval_shape(render, *games).size > 2**31


@pytest.mark.slow  # two gigabytes
def test_more_pixels_than_int32_counts_are_drawn_where_they_belong():
    render, state, params = _beyond_int32()
    screens = jax.jit(render)(state, params)
    rows, columns = jnp.sum(screens[-1, ..., 0], 1), jnp.sum(screens[-1, ..., 0], 0)
    np.testing.assert_array_equal(np.flatnonzero(rows), [0, 4095])
    np.testing.assert_array_equal(np.flatnonzero(columns), [3 * 129, 5 * 129 + 1])


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"size": 1}, "size must be at least 2"),
        ({"size": 8.0}, "size must be an integer"),
        ({"paddle_width": 2}, "paddle_width must be odd"),
        ({"paddle_width": 0}, "paddle_width must be at least 1"),
        ({"size": 8, "paddle_width": 9}, "at most size"),
        ({"spawn_every": 0}, "spawn_every must be at least 1"),
        ({"rocks_per_episode": 0}, "rocks_per_episode must be at least 1"),
        ({"rocks_per_episode": None}, "rocks_per_episode must be an integer"),
        ({"size": 2**15 + 1}, "size must be at most 32768"),
        ({"size": 2**10, "rocks_per_episode": 2**22}, "steps is too long"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"max_steps": True}, "max_steps must be an integer"),
    ],
)
def test_what_makes_no_game_is_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        rocks.Params(**wrong)
