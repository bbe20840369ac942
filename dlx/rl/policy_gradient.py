"""Policy gradients: REINFORCE, advantage actor-critic and PPO.

A training step plays `rollout_steps` in all environments, estimates advantages and
updates the parameters once (PPO: several times). Environments are part of the state,
and rollouts never leave the device.

- `algorithm='a2c'`: generalised advantage estimates on a learnt value, and an entropy
  bonus (Mnih et al. 2016, without the asynchrony; Schulman et al. 2016).
- `algorithm='reinforce'`: returns to go, less a learnt value if `baseline` is set
  (Williams 1992; Sutton and Barto 2018, section 13.4). It ignores rewards after the
  rollout, which should therefore end when a rock lands or an episode ends.
- `algorithm='ppo'`: like 'a2c', but with the clipped objective, in several `epochs` of
  `minibatches` (Schulman et al. 2017); see `ppo`.
"""

import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import fields, optimizers
from dlx.envs.environment import Environment
from dlx.rl import distributions, evaluation, ppo, rollouts
from dlx.rl.networks import ActorCritic
from dlx.rl.returns import advantages_and_targets, standardize
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task

FIELDS = (
    optimizers.FIELDS
    | evaluation.FIELDS
    | {
        "rollout_steps": fields.integer(),
        "algorithm": fields.choice("a2c", "reinforce", "ppo"),
        "gae_lambda": fields.real(0, 1),
        "baseline": fields.flag(),
        "standardize_advantages": fields.flag(),
        "value_cost": fields.real(0),
        "entropy_cost": fields.real(0),
        "epochs": fields.integer(),
        "minibatches": fields.integer(),
        "clip_epsilon": fields.real(above=0),
        "value_clip": fields.real(0),
    }
)


def policy_gradient_loss(nll: jax.Array, advantages: jax.Array) -> jax.Array:
    """Computes -A log pi(a|s); its mean gradient is minus the policy gradient.

    Args:
      nll: [...] float32. -log pi(a|s).
      advantages: [...] float32. They are constants.

    Returns:
      [...] float32.
    """
    return lax.stop_gradient(advantages) * nll


def agent(config) -> tuple[Environment, ActorCritic]:
    """Makes the config's game and network.

    Raises:
      UserError: if the config is invalid.
    """
    env = evaluation.make_env(config)
    torso = evaluation.make_torso(config)
    return env, ActorCritic(torso, env.num_actions, env.action_shape)


def policy(config) -> tuple[Environment, evaluation.Scores]:
    """Returns the game, and (params, observations) -> action logits, or actions."""
    env, network = agent(config)
    distribution = distributions.of(env)

    def scores(params, observations):
        return distribution.mode(network.apply(params, observations)[0])

    return env, scores


def make_rollout(config, env: Environment, network):
    """Returns (params, state, key) -> (state, Rollout), which plays and does not train.

    The extras of PPO's rollouts are -log pi(a|s) and values, [time, env] float32 each.
    """
    distribution = distributions.of(env)

    def act(params, observations, key, step):
        del step
        outputs, values = network.apply(params, observations)
        actions = distribution.sample(outputs, key)
        if config.algorithm != "ppo":
            return actions, None
        return actions, (distribution.nll(outputs, actions), values)

    def value(params, observations):
        return network.apply(params, observations)[1]

    return rollouts.make(config, env, act, value)


def make_loss(config, env: Environment, network):
    """Returns (params, rollout, envs after it, step) -> (one device's loss, metrics).

    Advantages are standardised over the mapped axis 'devices'. The entropy bonus falls
    linearly to 0 over the run.
    """
    distribution = distributions.of(env)
    entropy_cost = optimizers.linear(config.entropy_cost, 0.0, config.num_steps)

    def loss(params, rollout, last, step):
        envs = jax.tree.map(
            lambda a, b: jnp.concatenate([a, b[None]]), rollout.envs, last
        )
        outputs, values = jax.vmap(
            lambda envs: network.apply(params, env.observe(envs))
        )(envs)
        outputs = jax.tree.map(lambda x: x[:-1], outputs)
        advantages, targets = advantages_and_targets(
            config, rollout.rewards, lax.stop_gradient(values), rollout.discounts
        )
        if config.standardize_advantages:
            advantages = standardize(advantages)
        nll = distribution.nll(outputs, rollout.actions)
        losses = {
            "policy_loss": policy_gradient_loss(nll, advantages),
            "value_loss": optax.l2_loss(values[:-1], targets),
            "entropy": distribution.entropy(outputs),
        }
        means = jax.tree.map(jnp.mean, losses)
        total = (
            means["policy_loss"]
            + config.value_cost * means["value_loss"]
            - entropy_cost(step) * means["entropy"]
        )
        return total, {"loss": total} | means

    return loss


def make_update(config, env: Environment, network, tx):
    """Returns (state, rollout) -> (state, metrics): one update."""
    loss = make_loss(config, env, network)

    def update(state, played):
        grads, metrics = jax.grad(loss, has_aux=True)(
            state.params, played, state.envs, state.step
        )
        state, norms = rollouts.apply_gradients(state, tx, grads)
        return state, metrics | norms

    return update


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/pg_rocks16.py.

    Raises:
      UserError: if the config is invalid.
    """
    num_envs = devices.per_device("config.num_envs", config.num_envs)
    env, network = agent(config)
    rollout = make_rollout(config, env, network)
    if config.algorithm == "ppo":
        parts = rollouts.num_minibatches(config, num_envs)
        tx = evaluation.make_optimizer(config, config.epochs * parts)
        update = ppo.make_update(config, env, network, tx, parts)
    else:
        tx = evaluation.make_optimizer(config)
        update = make_update(config, env, network, tx)

    def step(state, batch, key):
        del batch  # the agent plays its own games
        if config.algorithm == "ppo":
            play_key, update_key = jax.random.split(key)
            state, played = rollout(state.params, state, play_key)
            state, metrics = update(state, played, update_key)
        else:
            state, played = rollout(state.params, state, key)
            state, metrics = update(state, played)
        metrics["episode_return"] = jnp.mean(state.last_returns)
        return state.replace(step=state.step + 1), metrics

    evaluate, figures = evaluation.make(config, *policy(config))
    return Task(
        init=rollouts.make_init(env, network, tx, num_envs),
        step=step,
        evaluate=evaluate,
        figures=figures,
        metric=env.metric,
        counts={"env_steps": config.num_envs * config.rollout_steps},
        local=("envs", "returns", "last_returns"),
    )


abilities = Abilities(play=policy)
