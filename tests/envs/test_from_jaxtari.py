"""The adapter for JAXtari, whose games need a download, on a stand-in."""

import sys
import types

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.envs import registration
from dlx.errors import UserError


@flax.struct.dataclass
class Ship:
    x: jax.Array
    lives: jax.Array


class Voyage:
    """Action 1 moves the ship; from place 3 on the game is over, and pays."""

    def action_space(self):
        return types.SimpleNamespace(n=2)

    def reset(self, key):
        state = {"place": 0, "key": jax.random.key_data(key)}
        return self._observe(state), state

    def step(self, state, action):
        state = state | {"place": state["place"] + action}
        over = state["place"] >= 3
        return self._observe(state), state, jnp.where(over, 5, 0), over, {}

    def render(self, state):
        return jnp.zeros((4, 6, 3), jnp.uint8).at[0, state["place"]].set(255)

    def _observe(self, state):
        return Ship(x=jnp.stack([state["place"], 7]), lives=jnp.uint8(2))


@pytest.fixture
def jaxtari(monkeypatch):
    def make(game_name, mode=0):
        if game_name != "voyage":
            raise NotImplementedError(f"The game '{game_name}' does not exist.")
        return Voyage()

    monkeypatch.setitem(sys.modules, "jaxtari", types.SimpleNamespace(make=make))


def test_a_game_is_played_and_reset(jaxtari):
    env = registration.make("jaxtari/voyage", mode=1)
    state = env.reset(jax.random.key(0), 2)
    np.testing.assert_array_equal(env.observe(state), [[0, 7, 2]] * 2)
    actions = jnp.array([1, 0])
    for time in range(1, 4):
        kinds = jax.tree.map(lambda x: (x.dtype, x.weak_type), state)
        key = jax.random.key(time)
        state, last, reward, terminated, truncated = env.step(key, state, actions)
        assert jax.tree.map(lambda x: (x.dtype, x.weak_type), state) == kinds
        np.testing.assert_array_equal(env.observe(last)[:, 0], [time, 0])
        np.testing.assert_array_equal(terminated, [time == 3, False])
        np.testing.assert_array_equal(reward, [5.0 * (time == 3), 0.0])
        assert not truncated.any()
    np.testing.assert_array_equal(env.observe(state)[:, 0], [0, 0])
    film = env.film(lambda x: jnp.ones(len(x), jnp.int32), jax.random.key(0))
    np.testing.assert_array_equal(film[:, 0, :3, 0], 255 * np.eye(3))


def test_what_is_no_game_is_a_line(jaxtari, monkeypatch):
    with pytest.raises(UserError, match="jaxtari/chess: The game 'chess' does not"):
        registration.make("jaxtari/chess")
    with pytest.raises(UserError, match=r"config\.env: .*'colour'"):
        registration.make("jaxtari/voyage", colour=1)
    monkeypatch.setitem(sys.modules, "jaxtari", None)
    with pytest.raises(UserError, match="needs JAXtari: pip install jaxtari"):
        registration.make("jaxtari/voyage")
