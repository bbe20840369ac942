"""Any gymnax 1.0 environment as an `Environment`.

    env = registration.make("gymnax/Breakout-MinAtar")

gymnax takes JAX below 0.12. The other direction, rocks with gymnax's interface, is in
`gymnax.py`.
"""

import dataclasses
import functools
from typing import Any

from flax import struct
import jax
from jax import lax
import jax.numpy as jnp

from dlx.envs.environment import Environment
from dlx.errors import UserError, user_error_in


@struct.dataclass
class State:
    """A batch of episodes.

    Attributes:
      game: [num_envs, ...]. gymnax's states, without weakly typed fields.
      observation: [num_envs, ...] float32, or None if it is a function of `game`.
    """

    game: Any
    observation: jax.Array | None


def make(name: str, **fields: Any) -> "Gymnax":
    """Makes a game by its name in gymnax.

    Args:
      name: Such as 'Breakout-MinAtar'.
      **fields: Fields of the game's parameters, or arguments of its class.

    Raises:
      UserError: if gymnax is not installed, it has no such game, or a field is invalid.
    """
    try:
        import gymnax
    except ImportError:
        raise UserError(
            f"config.env.name=gymnax/{name} needs gymnax, which takes JAX below 0.12 "
            f"(installed: {jax.__version__}): pip install '.[games]'"
        ) from None
    with user_error_in("config.env"):
        _, params = gymnax.make(name)
        names = {field.name for field in dataclasses.fields(params)}
        own = {key for key in fields if key in names}
        return _made(name, frozenset(own), tuple(sorted(fields.items())))


@functools.lru_cache
def _made(name, own, fields):
    """Makes a game and caches it, because making one plays a few steps.

    Args:
      name: The name in gymnax.
      own: The names of the parameters' fields; other fields are the class's.
      fields: Pairs of a name and a value.
    """
    import gymnax

    env, params = gymnax.make(name, **{key: x for key, x in fields if key not in own})
    return Gymnax(env, params.replace(**{key: x for key, x in fields if key in own}))


class Gymnax(Environment):
    """A gymnax environment with fixed parameters.

    A continuous action in [-1, 1] is scaled to the bounds of the action space.

    Attributes:
      env: An instance of gymnax's `Environment`.
      params: Its parameters.
    """

    def __init__(self, env: Any, params: Any):
        self.env, self.params = env, params
        self.truncates = True
        self.max_episode_steps = int(params.max_steps_in_episode)
        space = env.action_space(params)
        self.num_actions = getattr(space, "n", None)
        if self.num_actions is None:
            self.action_shape = tuple(space.shape)
            self._bounds = jnp.asarray(space.low), jnp.asarray(space.high)
        self._dtypes, self._keeps_observations = self._trace(space)

    def reset(self, key, num_envs):
        keys = jax.random.split(key, num_envs)
        observation, game = jax.vmap(self.env.reset_env, (0, None))(keys, self.params)
        return self._state(game, observation)

    def step(self, key, state, actions):
        keys = jax.vmap(jax.random.split)(jax.random.split(key, actions.shape[0]))
        observation, game, reward, terminated, _ = jax.vmap(
            self.env.step_env, (0, 0, 0, None)
        )(keys[:, 0], state.game, self._native(actions), self.params)
        truncated = jax.vmap(self.env.is_truncated, (0, None))(game, self.params)
        truncated = jnp.broadcast_to(truncated, terminated.shape) & ~terminated
        last, over = self._state(game, observation), terminated | truncated
        first = jax.vmap(self.env.reset_env, (0, None))(keys[:, 1], self.params)
        first = self._state(first[1], first[0])

        def choose(first, last):
            return jnp.where(over.reshape(-1, *[1] * (last.ndim - 1)), first, last)

        state = jax.tree.map(choose, first, last)
        return state, last, reward.astype(jnp.float32), terminated, truncated

    def observe(self, state):
        if state.observation is not None:
            return state.observation
        observe = jax.vmap(self.env.observe, (None, 0, None, None))
        return observe(None, state.game, None, self.params).astype(jnp.float32)

    def _native(self, actions):
        """Converts actions to the game's range and dtype."""
        if self.num_actions is not None:
            return actions
        low, high = self._bounds
        return low + (jnp.clip(actions, -1.0, 1.0) + 1.0) / 2.0 * (high - low)

    def _state(self, game, observation):
        game = jax.tree.map(lambda x, dtype: x.astype(dtype), game, self._dtypes)
        stored = observation.astype(jnp.float32) if self._keeps_observations else None
        return State(game, stored)

    def _trace(self, space):
        """Returns the states' dtypes, and whether observations must be stored.

        A field that starts as a Python number gets the dtype that a step gives it. An
        observation must be stored if `observe` reads its key or its action, or differs
        from what the first steps return.
        """
        key, action = jax.random.key(0), jnp.zeros(space.shape, space.dtype)

        def observe(key, action, game):
            return self.env.observe(key, game, action, self.params)

        def step(key, game, action):
            return self.env.step_env(key, game, action, self.params)[:2]

        _, first = jax.eval_shape(self.env.reset_env, key, self.params)
        _, second = jax.eval_shape(step, key, first, action)
        dtypes = jax.tree.map(jnp.result_type, first, second)

        @jax.jit
        def differ(key):
            reset_key, step_key, key = jax.random.split(key, 3)
            _, game = self.env.reset_env(reset_key, self.params)

            def play(game, key):
                before = jax.tree.map(lambda x, dtype: x.astype(dtype), game, dtypes)
                action_key, key = jax.random.split(key)
                observation, game = step(key, before, space.sample(action_key))
                return game, jnp.any(observe(None, None, game) != observation)

            game = jax.tree.map(jnp.asarray, step(step_key, game, action)[1])
            return jnp.any(lax.scan(play, game, jax.random.split(key, 16))[1])

        traced = jax.make_jaxpr(observe)(key, action, first).jaxpr
        read = {id(x) for equation in traced.eqns for x in equation.invars}
        read |= set(map(id, traced.outvars))
        is_read = any(id(x) in read for x in traced.invars[:2])
        return dtypes, is_read or bool(differ(jax.random.key(1)))
