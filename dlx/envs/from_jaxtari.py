"""Any game of JAXtari (70 Atari games in JAX) as an `Environment`.

    env = registration.make("jaxtari/pong")

JAXtari makes a game only after its user has downloaded sprites and confirmed their
ownership (`python -m jaxtari.install_sprites`). The tests use a stand-in for JAXtari.
"""

from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from dlx.envs.environment import Environment, Policy
from dlx.errors import UserError, user_error_in


@struct.dataclass
class State:
    """A batch of episodes.

    Attributes:
      game: [num_envs, ...]. JAXtari's states.
      observation: [num_envs, features] float32.
    """

    game: Any
    observation: jax.Array


def make(name: str, **fields: Any) -> "Jaxtari":
    """Makes a game by its name in JAXtari.

    Args:
      name: Such as 'pong'.
      **fields: Arguments of `jaxtari.make`.

    Raises:
      UserError: if JAXtari or its sprites are not installed, or it has no such game.
    """
    try:
        import jaxtari
    except ImportError:
        raise UserError(
            f"config.env.name=jaxtari/{name} needs JAXtari: pip install jaxtari, then "
            "python -m jaxtari.install_sprites"
        ) from None
    try:
        with user_error_in("config.env"):
            return Jaxtari(jaxtari.make(name, **fields))
    except (ImportError, NotImplementedError, OSError, EOFError) as error:
        raise UserError(f"config.env.name=jaxtari/{name}: {error}") from error


class Jaxtari(Environment):
    """A game of JAXtari; an observation is the flat vector of its objects' numbers.

    Attributes:
      game: An instance of JAXtari's `JaxEnvironment`.
    """

    max_episode_steps = 27_000

    def __init__(self, game: Any):
        self.game = game
        self.num_actions = int(game.action_space().n)

    def reset(self, key, num_envs):
        observation, game = jax.vmap(self.game.reset)(jax.random.split(key, num_envs))
        return State(_strong(game), _flat(observation))

    def step(self, key, state, actions):
        observation, game, reward, done, _ = jax.vmap(self.game.step)(
            state.game, actions
        )
        cast = jax.tree.map(lambda x, like: x.astype(like.dtype), game, state.game)
        last, first = State(cast, _flat(observation)), self.reset(key, actions.size)

        def choose(first, last):
            return jnp.where(done.reshape(-1, *[1] * (last.ndim - 1)), first, last)

        state = jax.tree.map(choose, first, last)
        nothing = jnp.zeros_like(done, bool)
        return state, last, reward.astype(jnp.float32), done.astype(bool), nothing

    def observe(self, state):
        return state.observation

    def film(self, policy: Policy, key: jax.Array) -> np.ndarray:
        """Films one episode as JAXtari renders it: [frames, height, width, 3] uint8."""
        reset_key, play_key = jax.random.split(key)
        state, over, frames = self.reset(reset_key, 1), False, []
        step, render = jax.jit(self.step), jax.jit(jax.vmap(self.game.render))
        while not over and len(frames) < self.max_episode_steps:
            frames.append(np.asarray(render(state.game)[0]))
            step_key = jax.random.fold_in(play_key, len(frames))
            state, _, _, terminated, _ = step(
                step_key, state, policy(self.observe(state))
            )
            over = bool(terminated[0])
        return np.stack(frames).astype(np.uint8)


def _strong(tree):
    """Removes weak types, which would change in a scan."""
    return jax.tree.map(lambda x: x.astype(x.dtype), tree)


def _flat(observation):
    """Concatenates a batch of observations, [num_envs, ...] each, to a vector each."""
    leaves = jax.tree.leaves(observation)
    parts = [x.reshape(x.shape[0], -1).astype(jnp.float32) for x in leaves]
    return jnp.concatenate(parts, axis=1)
