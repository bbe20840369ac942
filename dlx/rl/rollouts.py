"""Rollouts: equally many steps of all games of a device, which stay on the device."""

from collections.abc import Callable
from typing import Any

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import fields
from dlx.envs.environment import Environment
from dlx.errors import UserError
from dlx.runtime import devices


@struct.dataclass
class State:
    """The state of an agent that learns from rollouts.

    Attributes:
      step: [] int32. The number of rollouts.
      params: The network's parameters.
      opt_state: The optimiser's state.
      envs: [num_envs of this device, ...]. The games being played.
      returns: [num_envs] float32. Rewards so far in each running episode.
      last_returns: [num_envs] float32. The latest finished episodes' returns; 0 before.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree
    envs: chex.ArrayTree
    returns: jax.Array
    last_returns: jax.Array


@struct.dataclass
class Rollout:
    """A rollout; every field is [time, env, ...].

    Attributes:
      envs: The games before each action. They are rendered when they are needed.
      actions: int32, or float32 if they are continuous.
      rewards: float32. If an episode is truncated, the discounted value of its last
        state is added (Pardo et al. 2018, equation 6).
      discounts: float32. It is 0 if the episode ended.
      extras: Arrays that the agent computed with each action, or None.
    """

    envs: Any
    actions: jax.Array
    rewards: jax.Array
    discounts: jax.Array
    extras: chex.ArrayTree = None


def make_init(env: Environment, network, tx, num_envs: int):
    """Returns key -> State: first parameters and new games.

    Args:
      env: The game.
      network: A module that takes observations.
      tx: The optimiser.
      num_envs: The environments of one device.
    """

    def init(key):
        params_key, envs_key = jax.random.split(key)
        envs = env.reset(envs_key, num_envs)
        params = network.init(params_key, env.observe(envs))
        return State(
            step=jnp.int32(0),
            params=params,
            opt_state=tx.init(params),
            envs=envs,
            returns=jnp.zeros(num_envs),
            last_returns=jnp.zeros(num_envs),
        )

    return init


def play(env: Environment, state, actions: jax.Array, key: jax.Array):
    """Plays one step of all games of an agent's state.

    Args:
      env: The game.
      state: Any state with `envs`, `returns` and `last_returns`.
      actions: [num_envs, ...].
      key: A random key.

    Returns:
      The state; then last_state, reward, terminated and truncated as `Environment.step`
      returns them.
    """
    envs, last, rewards, terminated, truncated = env.step(key, state.envs, actions)
    over = terminated | truncated
    returns = state.returns + rewards
    state = state.replace(
        envs=envs,
        returns=jnp.where(over, 0.0, returns),
        last_returns=jnp.where(over, returns, state.last_returns),
    )
    return state, last, rewards, terminated, truncated


def make(config, env: Environment, act: Callable, value: Callable):
    """Returns (params, state, key) -> (state, Rollout), which plays and does not train.

    Args:
      config: It reads `rollout_steps` and `discount`.
      env: The game.
      act: (params, observations, key, step) -> (actions, extras).
      value: (params, observations) -> [batch] float32. The values of states in which
        an episode was truncated.
    """

    def play_one(params, state, key):
        action_key, env_key = jax.random.split(key)
        before = state.envs
        actions, extras = act(params, env.observe(before), action_key, state.step)
        state, last, rewards, terminated, truncated = play(env, state, actions, env_key)
        if env.truncates:
            values = lax.cond(
                jnp.any(truncated),
                lambda: value(params, env.observe(last)),
                lambda: jnp.zeros_like(rewards),
            )
            rewards += config.discount * values * truncated
        discounts = config.discount * ~(terminated | truncated)
        return state, Rollout(before, actions, rewards, discounts, extras)

    def rollout(params, state, key):
        keys = jax.random.split(key, config.rollout_steps)
        return lax.scan(lambda state, key: play_one(params, state, key), state, keys)

    return rollout


def num_minibatches(config, num_envs: int) -> int:
    """The number of minibatches in an epoch.

    Args:
      config: It reads `minibatches` and `rollout_steps`.
      num_envs: The environments of one device.

    Raises:
      UserError: if a rollout does not divide into minibatches, or is too long.
    """
    size = num_envs * config.rollout_steps
    if size > fields.MOST:
        raise UserError(
            f"a rollout of config.num_envs={config.num_envs} and config.rollout_steps="
            f"{config.rollout_steps} has more than the maximum of {fields.MOST} steps"
        )
    if size % config.minibatches:
        raise UserError(
            f"config.minibatches={config.minibatches} does not divide the {size} steps "
            "of a device's rollout"
        )
    return config.minibatches


def over_epochs(
    update: Callable, state, batch, key: jax.Array, epochs: int, parts: int
):
    """Updates a state on every minibatch of every epoch, in random order.

    Args:
      update: (state, minibatch) -> (state, metrics).
      state: The state.
      batch: A tree of [time, env, ...].
      key: A random key.
      epochs: The number of epochs.
      parts: The number of minibatches in each.

    Returns:
      The state, and the mean of the metrics.
    """
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
    size = jax.tree.leaves(flat)[0].shape[0]
    orders = jax.vmap(lambda key: jax.random.permutation(key, size))(
        jax.random.split(key, epochs)
    )

    def one(state, index):
        return update(state, jax.tree.map(lambda x: x[index], flat))

    state, metrics = lax.scan(one, state, orders.reshape(epochs * parts, -1))
    return state, jax.tree.map(jnp.mean, metrics)


def apply_gradients(state, tx, grads):
    """Averages gradients over all devices and updates `params` and `opt_state`.

    Returns:
      The state, and the norms of gradients, parameters and updates.
    """
    grads = lax.pmean(grads, devices.AXIS)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state.replace(params=params, opt_state=opt_state), {
        "l2_grads": optax.tree.norm(grads),
        "l2_params": optax.tree.norm(params),
        "l2_updates": optax.tree.norm(updates),
    }
