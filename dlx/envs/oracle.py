"""Optimal play of an oracle that knows the columns of all rocks."""

import jax
import jax.numpy as jnp

from dlx.envs import rocks


def most_caught(
    paddle: jax.Array, columns: jax.Array, params: rocks.Params
) -> jax.Array:
    """Computes the largest number of rocks that can be caught in each episode.

    It is exact, by backward dynamic programming over paddle positions. V_t(p), the
    number that can still be caught from position p after t steps, is the maximum of
    V_{t+1}(p') + caught_{t+1}(p') over the positions p' that one step can reach.

    Args:
      paddle: [episodes] int32. The paddle's column at the start.
      columns: [episodes, rocks_per_episode] int32. The rocks' columns, in the order in
        which they appear.
      params: The game. `max_steps` is ignored.

    Returns:
      [episodes] int32.
    """
    positions = jnp.arange(
        params.half_width, params.size - params.half_width, dtype=jnp.int32
    )
    steps = jnp.arange(1, params.episode_steps + 1, dtype=jnp.int32)

    def of_episode(paddle, columns):
        def backward(value, time):
            fallen = time - (params.size - 1)
            rock = fallen // params.interval
            lands = (fallen >= 0) & (fallen % params.interval == 0)
            lands &= rock < params.rocks_per_episode
            column = columns[jnp.clip(rock, 0, params.rocks_per_episode - 1)]
            value += lands & (jnp.abs(positions - column) <= params.half_width)
            padded = jnp.pad(
                value, 1, mode="edge"
            )  # at the left wall, moving left is staying
            value = jnp.maximum(value, jnp.maximum(padded[:-2], padded[2:]))
            return value, None

        after_end = jnp.zeros(positions.size, jnp.int32)
        value, _ = jax.lax.scan(backward, after_end, steps, reverse=True)
        return value[paddle - params.half_width]

    return jax.vmap(of_episode)(paddle, columns)
