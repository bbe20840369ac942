"""Distributions of actions, given a network's outputs."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax


class Distribution(Protocol):
    """A distribution of actions, as agents use it."""

    def sample(self, outputs: Any, key: jax.Array) -> jax.Array:
        """Draws an action for each entry of a batch."""
        ...

    def nll(self, outputs: Any, actions: jax.Array) -> jax.Array:
        """The negative log-likelihood -log pi(a|s) of actions: [...] float32."""
        ...

    def entropy(self, outputs: Any) -> jax.Array:
        """The entropy in nats: [...] float32."""
        ...

    def mode(self, outputs: Any) -> jax.Array:
        """The greedy action, or scores of which the largest is the greedy action's."""
        ...


class Categorical:
    """A categorical distribution, given logits [..., num_actions] float32."""

    def sample(self, outputs, key):
        return jax.random.categorical(key, outputs)

    def nll(self, outputs, actions):
        return optax.softmax_cross_entropy_with_integer_labels(outputs, actions)

    def entropy(self, outputs):
        log_probs = jax.nn.log_softmax(outputs)
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)

    def mode(self, outputs):
        return outputs


class Gaussian:
    """A normal distribution, given means and logarithms of standard deviations.

    Both are [..., *action_shape] float32.

    Dimensions are independent. Actions are not bounded; games clip them.

    Attributes:
      ndim: The number of dimensions of an action.
    """

    def __init__(self, ndim: int):
        self._axes = tuple(range(-ndim, 0))

    def sample(self, outputs, key):
        mean, log_std = outputs
        return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)

    def nll(self, outputs, actions):
        mean, log_std = outputs
        squares = jnp.square((actions - mean) * jnp.exp(-log_std))
        terms = 0.5 * squares + log_std + 0.5 * jnp.log(2 * jnp.pi)
        return jnp.sum(terms, axis=self._axes)

    def entropy(self, outputs):
        _, log_std = outputs
        return jnp.sum(log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e), axis=self._axes)

    def mode(self, outputs):
        return outputs[0]


def of(env) -> Distribution:
    """The distribution of a game's actions."""
    if env.num_actions is None:
        return Gaussian(len(env.action_shape))
    return Categorical()
