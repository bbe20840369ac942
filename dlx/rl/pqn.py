"""Parallelised Q-network (Gallici et al. 2024): Q(lambda) without a replay.

A training step plays `rollout_steps` in all environments, computes the lambda returns
of the greedy values and regresses the action values on them, in `epochs` of
`minibatches`. Layer normalisation replaces a target network.
"""

import jax
import jax.numpy as jnp
import optax

from dlx import fields, optimizers
from dlx.envs.environment import Environment
from dlx.rl import evaluation, networks, rollouts
from dlx.rl.q_agent import agent, policy
from dlx.rl.q_learning import epsilon_greedy
from dlx.rl.returns import lambda_returns
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task

FIELDS = (
    optimizers.FIELDS
    | evaluation.FIELDS
    | {
        "rollout_steps": fields.integer(),
        "dueling": fields.flag(),
        "q_lambda": fields.real(0, 1),
        "epochs": fields.integer(),
        "minibatches": fields.integer(),
        "epsilon_start": fields.real(0, 1),
        "epsilon_end": fields.real(0, 1),
        "epsilon_steps": fields.integer(0),
    }
)


def make_rollout(config, env: Environment, network: networks.QNetwork):
    """Returns (params, state, key) -> (state, Rollout), epsilon-greedy.

    The rollout's extras are the greedy values, [time, env] float32.
    """
    epsilon = optimizers.linear(
        config.epsilon_start, config.epsilon_end, config.epsilon_steps
    )

    def act(params, observations, key, step):
        q = network.apply(params, observations)
        return epsilon_greedy(key, q, epsilon(step)), jnp.max(q, axis=-1)

    def value(params, observations):
        return jnp.max(network.apply(params, observations), axis=-1)

    return rollouts.make(config, env, act, value)


def make_loss(env: Environment, network: networks.QNetwork):
    """Returns (params, envs, actions, targets) -> (loss, mean absolute error)."""

    def loss(params, envs, actions, targets):
        q = network.apply(params, env.observe(envs))
        chosen = jnp.take_along_axis(q, actions[:, None], axis=-1)[:, 0]
        errors = jnp.mean(jnp.abs(targets - chosen))
        return jnp.mean(optax.l2_loss(chosen, targets)), errors

    return loss


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/pqn_rocks16.py.

    Raises:
      UserError: if the config is invalid.
    """
    num_envs = devices.per_device("config.num_envs", config.num_envs)
    parts = rollouts.num_minibatches(config, num_envs)
    env, network = agent(config)
    tx = evaluation.make_optimizer(config, config.epochs * parts)
    rollout = make_rollout(config, env, network)
    loss = make_loss(env, network)

    def update(state, minibatch):
        (total, error), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params, *minibatch
        )
        state, norms = rollouts.apply_gradients(state, tx, grads)
        return state, {"loss": total, "td_error": error} | norms

    def step(state, batch, key):
        del batch  # the agent plays its own games
        play_key, update_key = jax.random.split(key)
        state, played = rollout(state.params, state, play_key)
        last = jnp.max(network.apply(state.params, env.observe(state.envs)), axis=-1)
        values = jnp.concatenate([played.extras, last[None]])
        targets = lambda_returns(
            played.rewards, values, played.discounts, config.q_lambda
        )
        state, metrics = rollouts.over_epochs(
            update,
            state,
            (played.envs, played.actions, targets),
            update_key,
            config.epochs,
            parts,
        )
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
