"""The interface between agents and games, and the measures that all games share.

A game is a batch of episodes as pure functions. Its state is small, and its observation
is a function of the state. `observe` is therefore apart from `step`: replays and
rollouts hold states, and an observation is rendered only when a network reads it.
"""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from dlx.envs import drawing

State = Any  # a pytree of arrays [num_envs, ...]
Policy = Callable[[jax.Array], jax.Array]  # observations -> actions


class Environment(Protocol):
    """A batch of episodes. A subclass must define `reset`, `step` and `observe`.

    An instance is static: hashable, and without state.

    Attributes:
      num_actions: The number of actions, which are 0 ... num_actions - 1. None:
        actions are continuous.
      action_shape: The shape of a continuous action, which is in [-1, 1].
      metric: The metric of `measure` that selects the best checkpoint; higher is
        better.
      truncates: Whether an episode may be truncated. The value of its last state is
        then needed.
      max_episode_steps: The number of steps after which `measure` and `film` stop.
    """

    num_actions: int | None
    action_shape: tuple[int, ...] = ()
    metric: str = "episode_return"
    truncates: bool = False
    max_episode_steps: int = 10_000

    def reset(self, key: jax.Array, num_envs: int) -> State:
        """Starts `num_envs` episodes."""
        ...

    def step(
        self, key: jax.Array, state: State, actions: jax.Array
    ) -> tuple[State, State, jax.Array, jax.Array, jax.Array]:
        """Plays one step. An episode that ends is reset in the same step.

        Args:
          key: One key for the whole batch.
          state: The episodes.
          actions: [num_envs] integers, or [num_envs, *action_shape] float32.

        Returns:
          state: The episodes after the step.
          last_state: The episodes after the step, before any reset.
          reward: [num_envs] float32.
          terminated: [num_envs] bool. The episode ended by the rules.
          truncated: [num_envs] bool. The episode was cut off.
        """
        ...

    def observe(self, state: State) -> jax.Array:
        """Renders a state: [num_envs, ...] float32."""
        ...

    def pack(self, state: State) -> State:
        """Converts a state to the form that a replay stores, which may be smaller."""
        return state

    def unpack(self, packed: State) -> State:
        """The inverse of `pack`."""
        return packed

    def measure(
        self, policy: Policy, key: jax.Array, num_episodes: int
    ) -> dict[str, jax.Array]:
        """Measures a policy; the result includes `metric`. See `episodes`."""
        return episodes(self, policy, key, num_episodes)

    def film(self, policy: Policy, key: jax.Array) -> np.ndarray | None:
        """Films one episode: [frames, height, width, 3] uint8. Runs on the host.

        By default observations [height, width, channels] are drawn with a colour for
        each channel. The result is None if observations have no such shape.
        """
        observations, rewards = recording(self, policy, key)
        if observations.ndim != 4:
            return None
        return drawing.channels(observations, np.cumsum(np.append(0, rewards)))


def episodes(
    env: Environment, policy: Policy, key: jax.Array, num_episodes: int
) -> dict[str, jax.Array]:
    """Plays whole episodes side by side, each once.

    Returns:
      episode_return: [] float32. The mean sum of an episode's rewards.
      episode_steps: [] float32. The mean length.
    """
    reset_key, play_key = jax.random.split(key)
    nothing = jnp.zeros(num_episodes)
    start = env.reset(reset_key, num_episodes), nothing, nothing, nothing > 0

    def goes_on(carry):
        time, (*_, over) = carry
        return (time < env.max_episode_steps) & ~jnp.all(over)

    def play(carry):
        time, (state, returns, steps, over) = carry
        step_key = jax.random.fold_in(play_key, time)
        actions = policy(env.observe(state))
        state, _, reward, *ends = env.step(step_key, state, actions)
        returns = returns + jnp.where(over, 0.0, reward)
        steps = steps + ~over
        return time + 1, (state, returns, steps, over | ends[0] | ends[1])

    _, (_, returns, steps, _) = jax.lax.while_loop(goes_on, play, (jnp.int32(0), start))
    return {"episode_return": jnp.mean(returns), "episode_steps": jnp.mean(steps)}


def recording(
    env: Environment, policy: Policy, key: jax.Array
) -> tuple[np.ndarray, np.ndarray]:
    """Records one episode.

    Returns:
      observations: [steps + 1, ...] float32.
      rewards: [steps] float32.
    """

    @jax.jit
    def begin(key):
        state = env.reset(key, 1)
        return state, env.observe(state)

    @jax.jit
    def play(state, observation, key):
        state, last, reward, terminated, truncated = env.step(
            key, state, policy(observation)
        )
        over = (terminated | truncated)[0]
        return state, env.observe(state), env.observe(last), reward[0], over

    reset_key, play_key = jax.random.split(key)
    state, observation = begin(reset_key)
    observations, rewards = [observation], []
    for time in range(env.max_episode_steps):
        step_key = jax.random.fold_in(play_key, time)
        state, observation, last, reward, over = play(state, observation, step_key)
        observations.append(last)
        rewards.append(reward)
        if over:
            break
    return np.concatenate(jax.device_get(observations)), np.array(rewards)
