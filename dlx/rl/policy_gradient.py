"""Policy gradients: REINFORCE and advantage actor-critic.

A training step plays `rollout_steps` in all environments, estimates advantages and
updates the parameters once. Environments are part of the state, and rollouts never
leave the device.

- `algorithm='a2c'`: generalised advantage estimates on a learnt value, and an entropy
  bonus (Mnih et al. 2016, without the asynchrony; Schulman et al. 2016).
- `algorithm='reinforce'`: returns to go, less a learnt value if `baseline` is set
  (Williams 1992; Sutton and Barto 2018, section 13.4). It sees no further than a
  rollout, which should end where a rock's fall or an episode ends.
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import optimizers
from dlx.envs.environment import Environment
from dlx.errors import UserError, require_positive
from dlx.rl import evaluation, rollouts
from dlx.rl.networks import ActorCritic
from dlx.rl.returns import advantages_and_targets, standardize
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task


@struct.dataclass
class State:
    """The state that training changes.

    Attributes:
      step: [] int32. The number of updates.
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


def policy_gradient_loss(
    logits: jax.Array, actions: jax.Array, advantages: jax.Array
) -> jax.Array:
    """Computes -A log pi(a|s); its mean gradient is minus the policy gradient.

    Args:
      logits: [..., num_actions] float32.
      actions: [...] integers.
      advantages: [...] float32. They are constants.

    Returns:
      [...] float32.
    """
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, actions)
    return lax.stop_gradient(advantages) * nll


def entropy(logits: jax.Array) -> jax.Array:
    """The policy's entropy in nats: [..., num_actions] -> [...]."""
    log_probs = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


def agent(config) -> tuple[Environment, ActorCritic]:
    """Makes the config's game and network.

    Raises:
      UserError: if the config is invalid.
    """
    env = evaluation.make_env(config)
    return env, ActorCritic(evaluation.make_torso(config), env.num_actions)


def policy(config) -> tuple[Environment, evaluation.Scores]:
    """Returns the game, and (params, observations) -> action logits."""
    env, network = agent(config)
    return env, lambda params, observations: network.apply(params, observations)[0]


def make_rollout(config, env: Environment, network):
    """Returns (params, state, key) -> (state, Rollout), which only plays."""

    def act(params, observations, key, step):
        del step
        logits, _ = network.apply(params, observations)
        return jax.random.categorical(key, logits), None

    def value(params, observations):
        return network.apply(params, observations)[1]

    return rollouts.make(config, env, act, value)


def make_loss(config, env: Environment, network):
    """Returns (params, rollout, envs after it, step) -> (one device's loss, metrics).

    Advantages are standardised over the mapped axis 'devices'. The entropy bonus falls
    linearly to 0 over the run.
    """
    entropy_cost = optimizers.linear(config.entropy_cost, 0.0, config.num_steps)

    def loss(params, rollout, last, step):
        envs = jax.tree.map(
            lambda a, b: jnp.concatenate([a, b[None]]), rollout.envs, last
        )
        logits, values = jax.vmap(
            lambda envs: network.apply(params, env.observe(envs))
        )(envs)
        logits = logits[:-1]
        advantages, targets = advantages_and_targets(
            config, rollout.rewards, lax.stop_gradient(values), rollout.discounts
        )
        if config.standardize_advantages:
            advantages = standardize(advantages)
        losses = {
            "policy_loss": policy_gradient_loss(logits, rollout.actions, advantages),
            "value_loss": optax.l2_loss(values[:-1], targets),
            "entropy": entropy(logits),
        }
        means = jax.tree.map(jnp.mean, losses)
        total = (
            means["policy_loss"]
            + config.value_cost * means["value_loss"]
            - entropy_cost(step) * means["entropy"]
        )
        return total, {"loss": total} | means

    return loss


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/pg_rocks16.py.

    Raises:
      UserError: if the config is invalid.
    """
    if config.algorithm not in ("a2c", "reinforce"):
        raise UserError(
            f"config.algorithm is {config.algorithm!r}; known are: a2c, reinforce"
        )
    require_positive(config, "rollout_steps")
    num_envs = devices.per_device("config.num_envs", config.num_envs)
    env, network = agent(config)
    tx = optimizers.make(config)
    rollout = make_rollout(config, env, network)
    loss = make_loss(config, env, network)

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

    def step(state, batch, key):
        del batch  # the agent makes its own
        state, played = rollout(state.params, state, key)
        grads, metrics = jax.grad(loss, has_aux=True)(
            state.params, played, state.envs, state.step
        )
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state, metrics | {
            "episode_return": jnp.mean(state.last_returns),
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
            "l2_updates": optax.tree.norm(updates),
        }

    evaluate, figures = evaluation.make(config, *policy(config))
    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        metric=env.metric,
        counts={"env_steps": config.num_envs * config.rollout_steps},
        local=("envs", "returns", "last_returns"),
    )


abilities = Abilities(play=policy)
