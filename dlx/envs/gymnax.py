"""Rocks with the interface of gymnax 1.0.

    env = dlx.envs.gymnax.GymnaxRocks(size=16)  # like gymnax.make

It takes the fields of `rocks.Params` by name. The rules are those of `rocks`.
"""

import functools

from flax import struct
import jax
import jax.numpy as jnp

from dlx.envs import rocks


@struct.dataclass
class GymnaxParams(rocks.Params):
    """`rocks.Params` with the additional attribute that code for gymnax reads."""

    @property
    def max_steps_in_episode(self) -> int:
        """The number of steps after which every episode has ended."""
        return min(self.episode_steps, self.max_steps or self.episode_steps)


class GymnaxRocks:
    """One game with the interface of a gymnax 1.0 environment.

    State and actions have no batch axis; `jax.vmap` adds one, as with gymnax's own
    environments. Only the spaces require gymnax.
    """

    name = "Rocks"
    num_actions = rocks.NUM_ACTIONS

    def __init__(self, **game):
        self.default_params = GymnaxParams(**game)

    @functools.partial(jax.jit, static_argnames="self")
    def reset(self, key, params=None) -> tuple[jax.Array, rocks.State]:
        """Starts a game; returns (observation [size, size, 1] float32, state)."""
        return _single(rocks.reset(key, self._params(params), 1))

    reset_env = reset

    @functools.partial(jax.jit, static_argnames="self")
    def step(self, key, state, action, params=None):
        """Plays one step.

        A game that ends is reset. `info['final_observation']` is its last screen.

        Returns:
          (observation, state, reward, terminated, truncated, info).
        """
        batch, actions = _batched(state, action)
        *results, info = rocks.step(key, batch, actions, self._params(params))
        observation, state, reward, terminated, truncated = _single(results)
        return (
            observation,
            state,
            reward,
            terminated,
            truncated,
            {
                "discount": 1.0 - terminated,
                "terminated": terminated,
                "truncated": truncated,
                "final_observation": info["final_observation"][0],
            },
        )

    @functools.partial(jax.jit, static_argnames="self")
    def step_env(self, key, state, action, params=None):
        """Plays one step without reset.

        Returns:
          (observation, state, reward, terminated, info).
        """
        batch, actions = _batched(state, action)
        *results, _ = rocks.step_env(key, batch, actions, self._params(params))
        observation, state, reward, terminated, _ = _single(results)
        info = {"discount": 1.0 - terminated}
        return observation, state, reward, terminated, info

    def get_obs(self, state, params=None, key=None) -> jax.Array:
        """Renders a state: [size, size, 1] float32."""
        batch = jax.tree.map(lambda x: x[None], state)
        return rocks.render(batch, self._params(params))[0]

    def observe(self, key, state, action, params=None) -> jax.Array:
        """Renders a state, like `get_obs`."""
        return self.get_obs(state, params)

    def is_terminated(self, state, params=None) -> jax.Array:
        """Whether the last rock has landed, [] bool."""
        return state.time >= self._params(params).episode_steps

    is_terminal = is_terminated

    def is_truncated(self, state, params=None) -> jax.Array:
        """Whether the game was truncated after `max_steps`, [] bool."""
        params = self._params(params)
        over = state.time >= params.max_steps_in_episode
        return over & ~self.is_terminated(state, params)

    def discount(self, state, params=None) -> jax.Array:
        """0 if the game has terminated, else 1."""
        return 1.0 - self.is_terminated(state, params)

    def action_space(self, params=None):
        """Returns a `gymnax.environments.spaces.Discrete`."""
        from gymnax.environments import spaces

        return spaces.Discrete(rocks.NUM_ACTIONS)

    def observation_space(self, params=None):
        """Returns a `gymnax.environments.spaces.Box`."""
        from gymnax.environments import spaces

        size = self._params(params).size
        return spaces.Box(0, 1, (size, size, 1), jnp.float32)

    def state_space(self, params=None):
        """Returns a `gymnax.environments.spaces.Dict` of `rocks.State`'s fields."""
        from gymnax.environments import spaces

        params = self._params(params)
        shape = (params.max_rocks,)
        return spaces.Dict(
            {
                "time": spaces.Discrete(params.episode_steps + 1),
                "paddle": spaces.Discrete(params.size),
                "columns": spaces.Box(0, params.size - 1, shape, jnp.int32),
            }
        )

    def _params(self, params):
        return self.default_params if params is None else params


def _single(tree):
    """Removes the batch axis."""
    return jax.tree.map(lambda x: x[0], tree)


def _batched(state, action):
    """Adds a batch axis."""
    return jax.tree.map(lambda x: jnp.asarray(x)[None], (state, action))
