"""The most rocks that anyone could catch who knows every column in advance."""

import jax
import jax.numpy as jnp

from dlx.envs import rocks


def most_caught(
    paddle: jax.Array, columns: jax.Array, params: rocks.Params
) -> jax.Array:
    """Exact, by dynamic programming backwards over the paddle's places.

    V_t(p), the most that can still be caught from place p after t steps, is the largest
    of V_{t+1}(p') + caught_{t+1}(p') over the places p' that a step reaches.

    Args:
      paddle: [episodes] int32, where the paddle starts.
      columns: [episodes, rocks_per_episode] int32, of rocks in the order they appear.
      params: The game; `max_steps` is ignored.

    Returns:
      [episodes] int32.
    """
    places = jnp.arange(params.reach, params.size - params.reach, dtype=jnp.int32)
    steps = jnp.arange(1, params.episode_steps + 1, dtype=jnp.int32)

    def one(paddle, columns):
        def back(value, time):
            fallen = time - (params.size - 1)
            rock = fallen // params.interval
            lands = (fallen >= 0) & (fallen % params.interval == 0)
            lands &= rock < params.rocks_per_episode
            column = columns[jnp.clip(rock, 0, params.rocks_per_episode - 1)]
            value += lands & (jnp.abs(places - column) <= params.reach)
            padded = jnp.pad(value, 1, mode="edge")  # at a wall, left is stay
            value = jnp.maximum(value, jnp.maximum(padded[:-2], padded[2:]))
            return value, None

        nothing = jnp.zeros(places.size, jnp.int32)
        value, _ = jax.lax.scan(back, nothing, steps, reverse=True)
        return value[paddle - params.reach]

    return jax.vmap(one)(paddle, columns)
