"""What a policy makes of rocks: exact and sampled measures, and recordings.

A policy here is a function from observations [batch, size, size, 1] float32 to actions
[batch] int32, deterministic as a rule.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dlx.envs import oracle, rocks

Policy = Callable[[jax.Array], jax.Array]


def measure(
    policy: Policy, params: rocks.Params, key: jax.Array, num_rocks: int
) -> dict[str, jax.Array]:
    """All of the below, as a task's `evaluate` returns it."""
    caught, starts = perfect_starts(policy, params)
    return episodes(policy, params, key, num_rocks) | {
        "perfect_starts": caught,
        "starts": jnp.float32(starts),
    }


def perfect_starts(policy: Policy, params: rocks.Params) -> tuple[jax.Array, int]:
    """From how many of all first screens the policy catches the rock. Exact.

    Returns:
      caught: [] float32, the pairs of paddle place and rock column in row 0, that and
        only that rock in the air, from which it is caught.
      starts: How many such pairs there are: size (size - paddle_width + 1).
    """
    alone = params.replace(rocks_per_episode=1, max_steps=None)
    places = jnp.arange(params.reach, params.size - params.reach, dtype=jnp.int32)
    columns = jnp.arange(params.size, dtype=jnp.int32)
    paddle, column = (grid.ravel() for grid in jnp.meshgrid(places, columns))
    start = rocks.State(jnp.zeros_like(paddle), paddle, column[:, None])
    key = jax.random.key(0)  # nothing is drawn: no other rock appears
    _, rewards = _play(lambda screens, _: policy(screens), alone, start, key)
    return jnp.sum(rewards > 0).astype(jnp.float32), paddle.size


def episodes(
    policy: Policy, params: rocks.Params, key: jax.Array, num_rocks: int
) -> dict[str, jax.Array]:
    """Plays whole episodes, at least `num_rocks` rocks in all.

    Returns:
      catch_rate: [] float32, the share of those rocks that were caught.
      optimal_fraction: [] float32, how many were caught of the most that could be
        caught by one who knew every column in advance.
      episode_return: [] float32, mean sum of an episode's rewards.
    """
    whole = params.replace(max_steps=None)
    num_envs = -(-num_rocks // params.rocks_per_episode)
    reset_key, play_key = jax.random.split(key)
    _, start = rocks.reset(reset_key, whole, num_envs)
    states, rewards = _play(lambda screens, _: policy(screens), whole, start, play_key)
    appeared = jnp.arange(1, whole.rocks_per_episode) * whole.interval - 1
    columns = jnp.concatenate(
        [start.columns[None, :, 0], states.columns[appeared, :, 0]]
    )
    best = oracle.most_caught(start.paddle, columns.T, whole)
    caught = jnp.sum(rewards > 0)
    return {
        "catch_rate": caught / jnp.sum(rewards != 0),
        "optimal_fraction": caught / jnp.sum(best),
        "episode_return": jnp.mean(jnp.sum(rewards, axis=0)),
    }


def record(
    policy: Policy, params: rocks.Params, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One episode to look at.

    Returns:
      screens: [steps + 1, size, size] int8: 0 empty, 1 a rock, 2 the paddle.
      scores: [steps + 1] int32, the sum of rewards so far.
    """
    return _recorded(lambda observations, _: policy(observations), params, key)


def replay(
    actions: jax.Array, params: rocks.Params, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The episode that `record` has of this key, with these actions instead.

    Args:
      actions: [params.episode_steps] int32, as for `rocks.step_env`.
      params: The game.
      key: Of all rocks.
    """
    return _recorded(lambda _, time: actions[time][None], params, key)


def _recorded(choose, params, key):
    whole = params.replace(max_steps=None)
    reset_key, play_key = jax.random.split(key)
    _, start = rocks.reset(reset_key, whole, 1)
    states, rewards = _play(choose, whole, start, play_key)
    states = jax.tree.map(
        lambda a, b: jnp.concatenate([a[None], b])[:, 0], start, states
    )
    return screens(states, params), jnp.cumsum(jnp.append(0, rewards[:, 0])).astype(
        jnp.int32
    )


def screens(state: rocks.State, params: rocks.Params) -> jax.Array:
    """What is where: [num_envs, size, size] int8, 0 empty, 1 a rock, 2 the paddle."""
    pixels = rocks.render(state, params, jnp.int8)[..., 0]
    return pixels.at[:, -1].multiply(2)  # no rock is ever drawn on the last row


def _play(choose, params, start, key):
    """One episode each; states after each step and rewards, [episode_steps, env].

    `choose` takes observations, and how many steps there were before.
    """

    def step(state, inputs):
        time, key = inputs
        actions = choose(rocks.render(state, params), time)
        _, state, reward, *_ = rocks.step_env(key, state, actions, params)
        return state, (state, reward)

    keys = jax.random.split(key, params.episode_steps)
    times = jnp.arange(params.episode_steps)
    return jax.lax.scan(step, start, (times, keys))[1]
