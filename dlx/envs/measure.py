"""Measures of a policy on rocks, exact and sampled, and recordings of episodes.

A policy is a function from observations [batch, size, size, 1] float32 to actions
[batch] int32. It is usually deterministic.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dlx.envs import oracle, rocks

Policy = Callable[[jax.Array], jax.Array]
Observe = Callable[[rocks.State, rocks.Params], Any]  # rocks.render or rocks.pixels


def measure(
    policy: Policy,
    params: rocks.Params,
    key: jax.Array,
    num_rocks: int,
    observe: Observe = rocks.render,
) -> dict[str, jax.Array]:
    """Combines `perfect_starts` and `episodes`, as a task's `evaluate` returns them."""
    caught, starts = perfect_starts(policy, params, observe)
    return episodes(policy, params, key, num_rocks, observe) | {
        "perfect_starts": caught,
        "starts": jnp.float32(starts),
    }


def perfect_starts(
    policy: Policy, params: rocks.Params, observe: Observe = rocks.render
) -> tuple[jax.Array, int]:
    """Counts the start positions from which the policy catches a single rock. Exact.

    A start position is a pair of a paddle position and a rock column in row 0.

    Returns:
      caught: [] float32. The number of start positions with a caught rock.
      starts: The number of start positions, size (size - paddle_width + 1).
    """
    alone = params.replace(rocks_per_episode=1, max_steps=None)
    positions = jnp.arange(
        params.half_width, params.size - params.half_width, dtype=jnp.int32
    )
    columns = jnp.arange(params.size, dtype=jnp.int32)
    paddle, column = (grid.ravel() for grid in jnp.meshgrid(positions, columns))
    start = rocks.State(jnp.zeros_like(paddle), paddle, column[:, None])
    key = jax.random.key(0)  # not used, because no other rock appears
    _, rewards = _play(lambda screens, _: policy(screens), alone, start, key, observe)
    return jnp.sum(rewards > 0).astype(jnp.float32), paddle.size


def episodes(
    policy: Policy,
    params: rocks.Params,
    key: jax.Array,
    num_rocks: int,
    observe: Observe = rocks.render,
) -> dict[str, jax.Array]:
    """Plays complete episodes with at least `num_rocks` rocks in total.

    Returns:
      catch_rate: [] float32. The share of rocks that were caught.
      optimal_fraction: [] float32. The number of caught rocks divided by the optimum,
        the number that an oracle catches that knows all columns.
      episode_return: [] float32. The mean sum of an episode's rewards.
    """
    untruncated = params.replace(max_steps=None)
    num_envs = -(-num_rocks // params.rocks_per_episode)
    reset_key, play_key = jax.random.split(key)
    _, start = rocks.reset(reset_key, untruncated, num_envs)
    states, rewards = _play(
        lambda screens, _: policy(screens), untruncated, start, play_key, observe
    )
    appeared = jnp.arange(1, params.rocks_per_episode) * params.interval - 1
    columns = jnp.concatenate(
        [start.columns[None, :, 0], states.columns[appeared, :, 0]]
    )
    best = oracle.most_caught(start.paddle, columns.T, params)
    caught = jnp.sum(rewards > 0)
    return {
        "catch_rate": caught / jnp.sum(rewards != 0),
        "optimal_fraction": caught / jnp.sum(best),
        "episode_return": jnp.mean(jnp.sum(rewards, axis=0)),
    }


def record(
    policy: Policy, params: rocks.Params, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Records one episode.

    Returns:
      screens: [steps + 1, size, size] int8. 0 is empty, 1 a rock, 2 the paddle.
      scores: [steps + 1] int32. The sum of rewards so far.
    """
    return _recorded(lambda observations, _: policy(observations), params, key)


def with_actions(
    actions: jax.Array, params: rocks.Params, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Records the episode that `record` plays with this key, with given actions.

    Args:
      actions: [params.episode_steps] int32. 0 left, 1 stay, 2 right.
      params: The game.
      key: The random key, which determines all rocks.

    Returns:
      screens, scores: As returned by `record`.
    """
    return _recorded(lambda _, time: actions[time][None], params, key)


def _recorded(choose, params, key):
    untruncated = params.replace(max_steps=None)
    reset_key, play_key = jax.random.split(key)
    _, start = rocks.reset(reset_key, untruncated, 1)
    states, rewards = _play(choose, untruncated, start, play_key)
    states = jax.tree.map(
        lambda a, b: jnp.concatenate([a[None], b])[:, 0], start, states
    )
    return screens(states, params), jnp.cumsum(jnp.append(0, rewards[:, 0])).astype(
        jnp.int32
    )


def screens(state: rocks.State, params: rocks.Params) -> jax.Array:
    """Renders games: [num_envs, size, size] int8; 0 empty, 1 a rock, 2 the paddle."""
    pixels = rocks.render(state, params, jnp.int8)[..., 0]
    return pixels.at[:, -1].multiply(2)  # the last row never has a rock


def _play(choose, params, start, key, observe=rocks.render):
    """Plays one episode of every game in `start`.

    Args:
      choose: (observations, number of steps before) -> actions.
      params: The game.
      start: The games.
      key: The random key.
      observe: `rocks.render` or `rocks.pixels`.

    Returns:
      states, rewards: [episode_steps, num_envs, ...]. After each step.
    """

    def step(state, inputs):
        time, key = inputs
        actions = choose(observe(state, params), time)
        _, state, reward, *_ = rocks.step_env(key, state, actions, params)
        return state, (state, reward)

    keys = jax.random.split(key, params.episode_steps)
    times = jnp.arange(params.episode_steps)
    return jax.lax.scan(step, start, (times, keys))[1]
