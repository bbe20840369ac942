"""Deep Q-learning on rocks (Mnih et al. 2015), all of it on the device.

A step of training is: play one step in all environments, put it into the replay, move
the parameters `updates` times. Each of these is a switch of the config:

- `prioritized`: replay by TD error (Schaul et al. 2016), else evenly;
- `double`: the network chooses, the target network values (van Hasselt et al. 2016);
- `dueling`: state value and advantages (Wang et al. 2016);
- `n_step`: returns over several steps (Sutton and Barto 2018, section 7.1);
- `huber`: where the squared error becomes linear; 0 leaves it squared;
- `target_steps`: the target network is copied every so many steps; or, where
  `target_rate` is not 0, follows at that rate, once a step (Lillicrap et al. 2016).

Durations count steps of training, however many updates each has.
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx import optimizers
from dlx.envs import rocks
from dlx.errors import UserError, require_at_least_0, require_positive
from dlx.rl import evaluation, replay
from dlx.rl.q_network import QNetwork
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task


@struct.dataclass
class State:
    """What training changes.

    Attributes:
      step: [] int32.
      params: The network's.
      target_params: The target network's.
      opt_state: The optimiser's.
      envs: The games being played, [num_envs of this device, ...].
      replay: What was played, on this device.
      returns: [num_envs] float32, rewards so far in the episode being played.
      last_returns: [num_envs] float32, of the latest episode that ended; 0 before.
    """

    step: jax.Array
    params: chex.ArrayTree
    target_params: chex.ArrayTree
    opt_state: chex.ArrayTree
    envs: rocks.State
    replay: replay.Replay
    returns: jax.Array
    last_returns: jax.Array


def q_learning(
    q: jax.Array,
    action: jax.Array,
    reward: jax.Array,
    discount: jax.Array,
    target_q: jax.Array,
    selector_q: jax.Array,
) -> jax.Array:
    """The TD error of one transition (van Hasselt et al. 2016, equation 4).

    Args:
      q: [num_actions] float32, values in the first state.
      action: [] integer, taken there.
      reward: [] float32.
      discount: [] float32, 0 where the episode terminated.
      target_q: [num_actions] float32, the target network's values in the next state.
      selector_q: [num_actions] float32, whose best action is taken there: the network's
        own for double Q-learning, `target_q` for plain (Mnih et al. 2015).

    Returns:
      [] float32, target less value; the target is a constant.
    """
    chex.assert_rank(
        [q, action, reward, discount, target_q, selector_q], [1, 0, 0, 0, 1, 1]
    )
    target = reward + discount * target_q[jnp.argmax(selector_q)]
    return lax.stop_gradient(target) - q[action]


def epsilon_greedy(key: jax.Array, q: jax.Array, epsilon: jax.Array) -> jax.Array:
    """Best actions, but with probability epsilon any: [batch, actions] -> [batch]."""
    explore_key, action_key = jax.random.split(key)
    batch, num_actions = q.shape
    anything = jax.random.randint(action_key, (batch,), 0, num_actions)
    explore = jax.random.uniform(explore_key, (batch,)) < epsilon
    return jnp.where(explore, anything, jnp.argmax(q, axis=-1))


def importance_weights(
    probability: jax.Array, size: jax.Array, beta: jax.Array
) -> jax.Array:
    """(1 / (size P))^beta, over their largest (Schaul et al. 2016, section 3.4).

    Of all devices' batches the largest; sizes and probabilities are of each one's own
    replay, which all draw equally often from.
    """
    weights = (size * probability) ** -beta
    return weights / lax.pmax(jnp.max(weights), devices.AXIS)


def agent(config) -> tuple[rocks.Params, QNetwork]:
    """The config's game and network.

    Raises:
      UserError: where the config makes none.
    """
    torso = evaluation.make_torso(config)
    network = QNetwork(torso, rocks.NUM_ACTIONS, config.dueling)
    return evaluation.make_game(config), network


def policy(config) -> tuple[rocks.Params, evaluation.Scores]:
    """The game, and what the agent thinks of its actions there: their values."""
    game, network = agent(config)
    return game, network.apply


def make_play(config, game: rocks.Params, network: QNetwork):
    """(state, key) -> state: one step of all environments, put into the replay."""
    epsilon = optimizers.linear(
        config.epsilon_start, config.epsilon_end, config.epsilon_steps
    )

    def play_one(state, key):
        action_key, env_key = jax.random.split(key)
        before = state.envs
        q = network.apply(state.params, rocks.render(before, game))
        actions = epsilon_greedy(action_key, q, epsilon(state.step))
        _, envs, rewards, terminated, truncated, info = rocks.step(
            env_key, before, actions, game
        )
        over = terminated | truncated
        returns = state.returns + rewards
        played = replay.Transition(
            state=_packed(before, game),
            action=actions.astype(jnp.uint8),
            reward=rewards,
            terminated=terminated,
            truncated=truncated,
            next_state=_packed(info["final_state"], game),
        )
        return state.replace(
            envs=envs,
            replay=replay.insert(state.replay, played),
            returns=jnp.where(over, 0.0, returns),
            last_returns=jnp.where(over, returns, state.last_returns),
        )

    return play_one


def make_update(config, game: rocks.Params, network: QNetwork, tx, batch_size: int):
    """(state, key) -> (state, metrics): one update from the replay."""
    beta = optimizers.linear(config.beta, 1.0, config.num_steps)

    def td_errors(params, target_params, transitions):
        state, action, reward, discount, next_state = transitions
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), state, next_state)
        screens = rocks.render(_unpacked(both), game)
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


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/dqn_rocks16.py.

    Raises:
      UserError: where the config makes no game, no network or no algorithm.
    """
    require_positive(config, "updates", "n_step", "target_steps", "eval_rocks")
    require_at_least_0(config, "epsilon_steps")
    num_envs = devices.per_device("config.num_envs", config.num_envs)
    batch_size = devices.per_device("config.batch_size", config.batch_size)
    slots = config.replay_size // config.num_envs
    if slots < config.n_step:
        raise UserError(
            f"config.replay_size={config.replay_size} holds {slots} steps of "
            f"config.num_envs={config.num_envs}: too few for n_step={config.n_step}"
        )
    if slots * num_envs > replay.MOST:
        raise UserError(
            f"config.replay_size={config.replay_size} is more than {replay.MOST} "
            "transitions on a device, which is as far as they can be numbered"
        )
    game, network = agent(config)
    tx = optimizers.make(config, config.updates)
    play_one = make_play(config, game, network)
    update = make_update(config, game, network, tx, batch_size)

    def init(key):
        params_key, envs_key = jax.random.split(key)
        observations, envs = rocks.reset(envs_key, game, num_envs)
        params = network.init(params_key, observations)
        nothing = jnp.zeros(num_envs, bool)
        example = replay.Transition(
            state=_packed(envs, game),
            action=nothing.astype(jnp.uint8),
            reward=jnp.zeros(num_envs),
            terminated=nothing,
            truncated=nothing,
            next_state=_packed(envs, game),
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

    def step(state, batch, key):
        del batch  # an agent makes its own
        play_key, update_key = jax.random.split(key)
        state = play_one(state, play_key)
        state, metrics = lax.scan(
            update, state, jax.random.split(update_key, config.updates)
        )
        state = state.replace(step=state.step + 1)
        if config.target_rate:
            target_params = optax.incremental_update(
                state.params, state.target_params, config.target_rate
            )
        else:
            target_params = optax.periodic_update(
                state.params, state.target_params, state.step, config.target_steps
            )
        metrics = jax.tree.map(jnp.mean, metrics)
        metrics["episode_return"] = jnp.mean(state.last_returns)
        return state.replace(target_params=target_params), metrics

    evaluate, figures = evaluation.judges(*policy(config), config.eval_rocks)
    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        metric=evaluation.metric(game),
        counts={"env_steps": config.num_envs},
        local=("envs", "replay", "returns", "last_returns"),
    )


def _packed(state, game):
    """Columns as the replay stores them: as bytes, on screens of up to 256 pixels."""
    dtype = np.min_scalar_type(game.size - 1)
    return state.replace(
        paddle=state.paddle.astype(dtype), columns=state.columns.astype(dtype)
    )


def _unpacked(state):
    return jax.tree.map(lambda x: x.astype(jnp.int32), state)


abilities = Abilities(play=policy)
