"""Gradients of a batch, whole or by micro-batches."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp


def value_and_grad(loss: Callable[..., Any], number: int = 1) -> Callable[..., Any]:
    """Like `jax.value_and_grad(loss, has_aux=True)`, by micro-batches.

    Gradients of micro-batches are averaged, which takes less memory and equals the
    gradient of the whole batch if the loss is a mean over its examples. With batch
    normalisation the loss is no such mean, because each micro-batch is normalised
    alone.

    Args:
      loss: (params, batch, key) -> (the mean loss over the batch, further results).
      number: The number of micro-batches, which divides the batch.

    Returns:
      (params, batch, key) -> ((loss, further results), gradients), all averaged.
    """
    gradient = jax.value_and_grad(loss, has_aux=True)
    if number == 1:
        return gradient

    def accumulated(params, batch, key):
        parts = jax.tree.map(lambda x: x.reshape(number, -1, *x.shape[1:]), batch)
        parts = parts, jax.random.split(key, number)
        first = jax.tree.map(lambda x: x[0], parts)
        shapes = jax.eval_shape(gradient, params, *first)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        def add(total, part):
            return jax.tree.map(jnp.add, total, gradient(params, *part)), None

        total, _ = lax.scan(add, zeros, parts)
        return jax.tree.map(lambda x: x / number, total)

    return accumulated
