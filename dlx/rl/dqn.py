"""Deep Q-learning (Mnih et al. 2015), entirely on the device.

A training step plays one step in all environments, adds it to the replay and updates
the parameters `updates` times. Switches of the config:

- `prioritized`: replay by TD error (Schaul et al. 2016), otherwise uniform;
- `double`: the network selects actions, the target network values them (van Hasselt et
  al. 2016);
- `dueling`: state value and advantages (Wang et al. 2016);
- `n_step`: returns over several steps (Sutton and Barto 2018, section 7.1);
- `huber`: the error above which the loss is linear; 0 leaves it squared;
- `target_steps`: steps between copies to the target network. If `target_rate` is not
  0, the target network follows at that rate instead (Lillicrap et al. 2016).
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import fields, optimizers
from dlx.envs.environment import Environment
from dlx.rl import evaluation, networks, replay, rollouts
from dlx.rl.q_agent import agent, policy
from dlx.rl.q_learning import epsilon_greedy, importance_weights, q_learning
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task

FIELDS = (
    optimizers.FIELDS
    | evaluation.FIELDS
    | {
        "batch_size": fields.integer(),
        "replay_size": fields.integer(1, 2**63 - 1),
        "updates": fields.integer(),
        "prioritized": fields.flag(),
        "alpha": fields.real(0),
        "beta": fields.real(0, 1),
        "double": fields.flag(),
        "dueling": fields.flag(),
        "n_step": fields.integer(),
        "huber": fields.real(0),
        "epsilon_start": fields.real(0, 1),
        "epsilon_end": fields.real(0, 1),
        "epsilon_steps": fields.integer(0),
        "target_steps": fields.integer(),
        "target_rate": fields.real(0, 1),
    }
)


@struct.dataclass
class State:
    """The state that training changes.

    Attributes:
      step: [] int32.
      params: The network's parameters.
      target_params: The target network's parameters.
      opt_state: The optimiser's state.
      envs: [num_envs of this device, ...]. The games being played.
      replay: This device's transitions.
      returns: [num_envs] float32. Rewards so far in each running episode.
      last_returns: [num_envs] float32. The latest finished episodes' returns; 0 before.
    """

    step: jax.Array
    params: chex.ArrayTree
    target_params: chex.ArrayTree
    opt_state: chex.ArrayTree
    envs: chex.ArrayTree
    replay: replay.Replay
    returns: jax.Array
    last_returns: jax.Array


def make_play(config, env: Environment, network: networks.QNetwork):
    """Returns (state, key) -> state, which plays one step and adds it to the replay."""
    epsilon = optimizers.linear(
        config.epsilon_start, config.epsilon_end, config.epsilon_steps
    )

    def play_one(state, key):
        action_key, env_key = jax.random.split(key)
        before = state.envs
        q = network.apply(state.params, env.observe(before))
        actions = epsilon_greedy(action_key, q, epsilon(state.step))
        state, last, rewards, terminated, truncated = rollouts.play(
            env, state, actions, env_key
        )
        played = replay.Transition(
            state=env.pack(before),
            action=actions.astype(jnp.uint8),
            reward=rewards,
            terminated=terminated,
            truncated=truncated,
            next_state=env.pack(last),
        )
        return state.replace(replay=replay.insert(state.replay, played))

    return play_one


def make_update(
    config, env: Environment, network: networks.QNetwork, tx, batch_size: int
):
    """Returns (state, key) -> (state, metrics), one update from the replay."""
    beta = optimizers.linear(config.beta, 1.0, config.num_steps)

    def td_errors(params, target_params, transitions):
        state, action, reward, discount, next_state = transitions
        states = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), state, next_state)
        screens = env.observe(env.unpack(states))
        q, next_q = jnp.split(network.apply(params, screens), 2)
        target_q = network.apply(target_params, screens[batch_size:])
        selector_q = next_q if config.double else target_q
        return jax.vmap(q_learning)(q, action, reward, discount, target_q, selector_q)

    def loss(params, target_params, transitions, weights):
        errors = td_errors(params, target_params, transitions)
        losses = (
            optax.huber_loss(errors, delta=config.huber)
            if config.huber
            else optax.l2_loss(errors)
        )
        return jnp.mean(weights * losses), errors

    def update(state, key):
        index, probability = replay.sample(state.replay, key, batch_size)
        transitions = replay.n_step(state.replay, index, config.n_step, config.discount)
        weights = jnp.ones(batch_size)
        if config.prioritized:
            size = replay.size(state.replay)
            weights = importance_weights(probability, size, beta(state.step))
        (total, errors), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params, state.target_params, transitions, weights
        )
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        if config.prioritized:
            priority = (jnp.abs(errors) + 1e-3) ** config.alpha
            state = state.replace(
                replay=replay.update_priorities(state.replay, index, priority)
            )
        return state.replace(params=params, opt_state=opt_state), {
            "loss": total,
            "td_error": jnp.mean(jnp.abs(errors)),
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
            "l2_updates": optax.tree.norm(updates),
        }

    return update


def make_init(config, env: Environment, network: networks.QNetwork, tx):
    """Returns key -> State: first parameters, new games, an empty replay."""
    num_envs = devices.per_device("config.num_envs", config.num_envs)
    slots = replay.num_slots(config, num_envs)

    def init(key):
        params_key, envs_key = jax.random.split(key)
        envs = env.reset(envs_key, num_envs)
        params = network.init(params_key, env.observe(envs))
        nothing = jnp.zeros(num_envs, bool)
        example = replay.Transition(
            state=env.pack(envs),
            action=nothing.astype(jnp.uint8),
            reward=jnp.zeros(num_envs),
            terminated=nothing,
            truncated=nothing,
            next_state=env.pack(envs),
        )
        return State(
            step=jnp.int32(0),
            params=params,
            target_params=jax.tree.map(jnp.copy, params),
            opt_state=tx.init(params),
            envs=envs,
            replay=replay.init(example, slots, prioritized=config.prioritized),
            returns=jnp.zeros(num_envs),
            last_returns=jnp.zeros(num_envs),
        )

    return init


def update_target(config, state: State) -> State:
    """Moves the target network towards the network, or copies it when due."""
    if config.target_rate:
        target_params = optax.incremental_update(
            state.params, state.target_params, config.target_rate
        )
    else:
        target_params = optax.periodic_update(
            state.params, state.target_params, state.step, config.target_steps
        )
    return state.replace(target_params=target_params)


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/dqn_rocks16.py.

    Raises:
      UserError: if the config is invalid.
    """
    batch_size = devices.per_device("config.batch_size", config.batch_size)
    env, network = agent(config)
    tx = evaluation.make_optimizer(config, config.updates)
    play_one = make_play(config, env, network)
    update = make_update(config, env, network, tx, batch_size)

    def step(state, batch, key):
        del batch  # the agent plays its own games
        play_key, update_key = jax.random.split(key)
        state = play_one(state, play_key)
        state, metrics = lax.scan(
            update, state, jax.random.split(update_key, config.updates)
        )
        state = update_target(config, state.replace(step=state.step + 1))
        metrics = jax.tree.map(jnp.mean, metrics)
        metrics["episode_return"] = jnp.mean(state.last_returns)
        return state, metrics

    evaluate, figures = evaluation.make(config, *policy(config))
    return Task(
        init=make_init(config, env, network, tx),
        step=step,
        evaluate=evaluate,
        figures=figures,
        metric=env.metric,
        counts={"env_steps": config.num_envs},
        local=("envs", "replay", "returns", "last_returns"),
    )


abilities = Abilities(play=policy)
