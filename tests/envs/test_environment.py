"""What every game inherits, rocks behind the interface, and games by name."""

import dataclasses
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.envs import measure, registration, rocks
from dlx.envs.environment import episodes, recording
from dlx.envs.rocks_environment import Rocks
from dlx.errors import UserError
from tests.envs.probes import Probe


def test_rocks_behind_the_interface_is_the_game():
    params = rocks.Params(size=6, rocks_per_episode=2, max_steps=7)
    env = Rocks(params)
    screens, state = rocks.reset(jax.random.key(0), params, 5)
    same = env.observe(env.reset(jax.random.key(0), 5))
    np.testing.assert_array_equal(same, screens)
    for time in range(7):
        actions = jnp.full(5, time % 3)
        expected = rocks.step(jax.random.key(time), state, actions, params)
        after, last, reward, terminated, truncated = env.step(
            jax.random.key(time), state, actions
        )
        np.testing.assert_array_equal(env.observe(after), expected[0])
        final = expected[-1]["final_observation"]
        np.testing.assert_array_equal(env.observe(last), final)
        np.testing.assert_array_equal(reward, expected[2])
        np.testing.assert_array_equal(terminated, expected[3])
        np.testing.assert_array_equal(truncated, expected[4])
        jax.tree.map(np.testing.assert_array_equal, env.unpack(env.pack(after)), after)
        state = after
    assert truncated.all() and env.truncates and not Rocks(rocks.Params()).truncates
    assert env == Rocks(params) and hash(env) == hash(Rocks(params))


def test_rocks_is_measured_as_before():
    env = Rocks(rocks.Params(size=5, rocks_per_episode=3))

    def stay(screens):
        return jnp.ones(len(screens), jnp.int32)

    numbers = env.measure(stay, jax.random.key(0), 4)
    expected = measure.measure(stay, env.params, jax.random.key(0), 12)
    assert numbers == expected and env.metric in numbers
    film = env.film(stay, jax.random.key(0))
    assert film.dtype == np.uint8 and len(film) == env.params.episode_steps + 1


@dataclasses.dataclass(frozen=True)
class Staircase(Probe):
    """Every step pays 1; the episode of game n ends after n + 1 steps."""

    max_episode_steps = 6

    def reset(self, key, num_envs):
        del key
        return jnp.zeros(num_envs, jnp.int32)

    def step(self, key, state, actions):
        last = state + 1
        over = last == 1 + jnp.arange(len(state), dtype=jnp.int32)
        nothing = jnp.zeros_like(over)
        return jnp.where(over, 0, last), last, jnp.ones(len(state)), over, nothing

    def observe(self, state):
        return jnp.ones((len(state), 3, 4, 2)) * state[:, None, None, None]


def test_an_episode_counts_until_it_ends_and_once():
    env = Staircase()
    numbers = episodes(env, lambda x: jnp.zeros(len(x), int), jax.random.key(0), 4)
    assert numbers == {"episode_return": 2.5, "episode_steps": 2.5}
    # Of eight games two are longer than is played.
    numbers = episodes(env, lambda x: jnp.zeros(len(x), int), jax.random.key(0), 8)
    assert numbers["episode_steps"] == (1 + 2 + 3 + 4 + 5 + 3 * 6) / 8


def test_a_recording_ends_with_the_state_before_the_reset():
    observations, rewards = recording(
        Staircase(), lambda x: jnp.zeros(len(x), int), jax.random.key(0)
    )
    np.testing.assert_array_equal(observations[:, 0, 0, 0], [0, 1])
    np.testing.assert_array_equal(rewards, [1])


def test_a_film_has_a_colour_for_each_channel_and_vectors_have_none():
    film = Staircase().film(lambda x: jnp.zeros(len(x), int), jax.random.key(0))
    assert film.shape == (2, 3 * 80 + 36, 4 * 80, 3) and film.dtype == np.uint8
    background, filled = film[0, -1, -1], film[1, -1, -1]
    assert (film[0, 36:] == background).all() and (film[1, 36:] == filled).all()
    assert (background != filled).any()
    policy = lambda x: jnp.zeros(len(x), int)  # noqa: E731
    assert Probe().film(policy, jax.random.key(0)) is None


def test_games_by_name(monkeypatch):
    theirs = types.ModuleType("their_games")
    theirs.Probe, theirs.GAME = Probe, Probe(length=2)
    monkeypatch.setitem(sys.modules, "their_games", theirs)
    theirs.__spec__ = types.SimpleNamespace(name="their_games")
    assert registration.make() == Rocks(rocks.Params())
    assert registration.make("rocks", size=9) == Rocks(rocks.Params(size=9))
    assert registration.make("their_games.Probe", length=3) == Probe(length=3)
    theirs_by_name = registration.make("their_games.GAME")
    assert theirs_by_name is theirs.GAME
    for name, fields, why in [
        ("rokcs", {}, "'rokcs'; it must be 'rocks', 'gymnax/NAME'"),
        (None, {}, "config.env.name must be text, got None"),
        ("their_games.Prob", {}, "'their_games.Prob'; it must be"),
        ("nowhere.Probe", {}, "'nowhere.Probe'; it must be"),
        ("rocks", {"size": 1}, r"config\.env: rocks: size must be at least 2"),
        ("their_games.Probe", {"lenght": 3}, r"config\.env: .*'lenght'"),
        ("their_games.GAME", {"length": 3}, "takes no parameters; got length"),
    ]:
        with pytest.raises(UserError, match=why):
            registration.make(name, **fields)


@pytest.mark.parametrize("fields", [{}, {"spawn_every": 3, "paddle_width": 3}])
def test_sparse_observations_are_the_screens(fields):
    params = rocks.Params(size=9, rocks_per_episode=4, **fields)
    state = rocks.reset(jax.random.key(0), params, 6)[1]
    for time in range(params.episode_steps):
        state = rocks.step(jax.random.key(time), state, jnp.full(6, time % 3), params)[
            1
        ]
        screens = rocks.render(state, params).reshape(6, -1)
        np.testing.assert_array_equal(rocks.pixels(state, params).todense(), screens)
