"""Proximal policy optimisation's clipped objective, in epochs of minibatches."""

from typing import Any

from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import optimizers
from dlx.envs.environment import Environment
from dlx.rl import distributions, rollouts
from dlx.rl.returns import advantages_and_targets, standardize


@struct.dataclass
class Played:
    """A rollout with its advantages, [time, env, ...], or a minibatch of it.

    Attributes:
      envs: The games before each action.
      actions: The actions.
      nll: float32. -log pi(a|s) under the policy that played.
      values: float32. The values that the network predicted then.
      advantages: float32.
      targets: float32. The values' targets.
    """

    envs: Any
    actions: jax.Array
    nll: jax.Array
    values: jax.Array
    advantages: jax.Array
    targets: jax.Array


def clipped_loss(
    nll: jax.Array, old_nll: jax.Array, advantages: jax.Array, epsilon: float
) -> jax.Array:
    """-min(r A, clip(r, 1 - epsilon, 1 + epsilon) A) (Schulman et al. 2017, eq. 7).

    Args:
      nll: [...] float32. -log pi(a|s) of the policy that is trained.
      old_nll: [...] float32. -log pi(a|s) of the policy that played; r = pi / pi_old.
      advantages: [...] float32.
      epsilon: A positive number.

    Returns:
      [...] float32.
    """
    ratio = jnp.exp(lax.stop_gradient(old_nll) - nll)
    clipped = jnp.clip(ratio, 1.0 - epsilon, 1.0 + epsilon)
    return -jnp.minimum(ratio * advantages, clipped * advantages)


def value_loss(
    values: jax.Array, old_values: jax.Array, targets: jax.Array, epsilon: float
) -> jax.Array:
    """Half the squared error, [...] float32.

    If epsilon is not 0, it is the larger one of two errors: the value's, and that of
    the value clipped to within epsilon of the old one (Engstrom et al. 2020, section
    2).
    """
    losses = optax.l2_loss(values, targets)
    if not epsilon:
        return losses
    near = old_values + jnp.clip(values - old_values, -epsilon, epsilon)
    return jnp.maximum(losses, optax.l2_loss(near, targets))


def make_loss(config, env: Environment, network):
    """Returns (params, Played, step) -> (one device's loss, metrics).

    The entropy bonus falls linearly to 0 over the run.
    """
    distribution = distributions.of(env)
    entropy_cost = optimizers.linear(config.entropy_cost, 0.0, config.num_steps)

    def loss(params, played, step):
        outputs, values = network.apply(params, env.observe(played.envs))
        nll = distribution.nll(outputs, played.actions)
        losses = {
            "policy_loss": clipped_loss(
                nll, played.nll, played.advantages, config.clip_epsilon
            ),
            "value_loss": value_loss(
                values, played.values, played.targets, config.value_clip
            ),
            "entropy": distribution.entropy(outputs),
        }
        ratio = jnp.exp(played.nll - nll)
        clipped = jnp.abs(ratio - 1.0) > config.clip_epsilon
        means = jax.tree.map(jnp.mean, losses)
        total = (
            means["policy_loss"]
            + config.value_cost * means["value_loss"]
            - entropy_cost(step) * means["entropy"]
        )
        return total, {"loss": total, "clipped": jnp.mean(clipped)} | means

    return loss


def make_update(config, env: Environment, network, tx, parts: int):
    """Returns (state, rollout, key) -> (state, metrics): all epochs of one rollout.

    Args:
      config: The config.
      env: The game.
      network: An actor-critic.
      tx: The optimiser.
      parts: The number of minibatches in an epoch.
    """
    loss = make_loss(config, env, network)

    def update_once(state, minibatch):
        grads, metrics = jax.grad(loss, has_aux=True)(
            state.params, minibatch, state.step
        )
        state, norms = rollouts.apply_gradients(state, tx, grads)
        return state, metrics | norms

    def update(state, rollout, key):
        nll, values = rollout.extras
        _, last = network.apply(state.params, env.observe(state.envs))
        advantages, targets = advantages_and_targets(
            config,
            rollout.rewards,
            jnp.concatenate([values, last[None]]),
            rollout.discounts,
        )
        if config.standardize_advantages:
            advantages = standardize(advantages)
        played = Played(rollout.envs, rollout.actions, nll, values, advantages, targets)
        return rollouts.over_epochs(
            update_once, state, played, key, config.epochs, parts
        )

    return update
