"""Policy gradients on rocks: REINFORCE and advantage actor-critic.

A step of training is: play `rollout_steps` in all environments, estimate advantages,
move the parameters once. Environments are part of the state, so nothing leaves the
device.

- `algorithm='a2c'`: generalised advantage estimates on a learnt value, and an entropy
  bonus (Mnih et al. 2016, without the asynchrony; Schulman et al. 2016).
- `algorithm='reinforce'`: returns to go, less a learnt value where `baseline` is set
  (Williams 1992; Sutton and Barto 2018, section 13.4). A rollout is as far as it sees:
  let `rollout_steps` end where rocks or episodes do.
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import optimizers
from dlx.envs import rocks
from dlx.errors import UserError, require_positive
from dlx.rl import evaluation
from dlx.rl.actor_critic import ActorCritic
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task


@struct.dataclass
class State:
    """What training changes.

    Attributes:
      step: [] int32, updates so far.
      params: The network's.
      opt_state: The optimiser's.
      envs: The games being played, [num_envs of this device, ...].
      returns: [num_envs] float32, rewards so far in the episode being played.
      last_returns: [num_envs] float32, of the latest episode that ended; 0 before.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree
    envs: rocks.State
    returns: jax.Array
    last_returns: jax.Array


@struct.dataclass
class Rollout:
    """What was played, each [time, env].

    Attributes:
      envs: The games before each action; their screens are rendered when needed.
      actions: int32.
      rewards: float32. Where an episode is truncated, with the discounted value of the
        state that it was cut off in (Pardo et al. 2018, equation 6).
      discounts: float32, 0 where the episode ended.
    """

    envs: rocks.State
    actions: jax.Array
    rewards: jax.Array
    discounts: jax.Array


def returns_to_go(
    rewards: jax.Array, discounts: jax.Array, bootstrap: jax.Array
) -> jax.Array:
    """Discounted returns, G_t = r_t + discount_t G_{t+1} (Sutton and Barto, eq. 3.9).

    Args:
      rewards: [time, env] float32, the reward after each action.
      discounts: [time, env] float32, 0 where the episode ended.
      bootstrap: [env] float32, stands for the return after the last step.

    Returns:
      [time, env] float32.
    """
    chex.assert_equal_shape([rewards, discounts])

    def back(later, now):
        reward, discount = now
        here = reward + discount * later
        return here, here

    return lax.scan(back, bootstrap, (rewards, discounts), reverse=True)[1]


def gae(
    rewards: jax.Array, values: jax.Array, discounts: jax.Array, lambda_: float
) -> jax.Array:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16).

    Args:
      rewards: [time, env] float32, the reward after each action.
      values: [time + 1, env] float32, the last one the bootstrap.
      discounts: [time, env] float32, 0 where the episode ended.
      lambda_: In [0, 1].

    Returns:
      [time, env] float32, not normalised.
    """
    chex.assert_equal_shape([rewards, discounts, values[1:]])
    td_errors = rewards + discounts * values[1:] - values[:-1]
    # The sum of (discount lambda)^l delta_{t+l} is a return to go, of TD errors.
    return returns_to_go(td_errors, discounts * lambda_, jnp.zeros_like(values[-1]))


def policy_gradient_loss(
    logits: jax.Array, actions: jax.Array, advantages: jax.Array
) -> jax.Array:
    """-A log pi(a|s), whose gradient is minus the policy gradient, on average.

    Args:
      logits: [..., num_actions] float32.
      actions: [...] integers.
      advantages: [...] float32, taken as constants.

    Returns:
      [...] float32.
    """
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, actions)
    return lax.stop_gradient(advantages) * nll


def entropy(logits: jax.Array) -> jax.Array:
    """Of the policy, in nats: [..., num_actions] -> [...]."""
    log_probs = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


def advantages_and_targets(
    config, rewards: jax.Array, values: jax.Array, discounts: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """By the config's algorithm, advantages and what values are to become.

    Args:
      config: Its `algorithm`, `baseline` and `gae_lambda` count.
      rewards: [time, env] float32.
      values: [time + 1, env] float32.
      discounts: [time, env] float32, 0 where the episode ended.

    Returns:
      Two arrays [time, env] float32.
    """
    if config.algorithm == "reinforce":
        baseline = values * config.baseline
        returns = returns_to_go(rewards, discounts, bootstrap=baseline[-1])
        return returns - baseline[:-1], returns
    advantages = gae(rewards, values, discounts, config.gae_lambda)
    return advantages, advantages + values[:-1]


def agent(config) -> tuple[rocks.Params, ActorCritic]:
    """The config's game and network.

    Raises:
      UserError: where the config makes none.
    """
    torso = evaluation.make_torso(config)
    return evaluation.make_game(config), ActorCritic(torso, rocks.NUM_ACTIONS)


def policy(config) -> tuple[rocks.Params, evaluation.Scores]:
    """The game, and what the agent thinks of its actions there: their logits."""
    game, network = agent(config)
    return game, lambda params, observations: network.apply(params, observations)[0]


def make_rollout(config, game: rocks.Params, network):
    """(params, state, key) -> (state, Rollout): plays, and changes nothing else."""

    def play_one(params, state, key):
        action_key, env_key = jax.random.split(key)
        logits, _ = network.apply(params, rocks.render(state.envs, game))
        actions = jax.random.categorical(action_key, logits)
        _, envs, rewards, terminated, truncated, info = rocks.step(
            env_key, state.envs, actions, game
        )
        over = terminated | truncated
        returns = state.returns + rewards
        after = state.replace(
            envs=envs,
            returns=jnp.where(over, 0.0, returns),
            last_returns=jnp.where(over, returns, state.last_returns),
        )
        if game.max_steps is not None:
            _, values = network.apply(params, info["final_observation"])
            rewards += config.discount * values * truncated
        discounts = config.discount * ~over
        return after, Rollout(state.envs, actions, rewards, discounts)

    def rollout(params, state, key):
        keys = jax.random.split(key, config.rollout_steps)
        return lax.scan(lambda state, key: play_one(params, state, key), state, keys)

    return rollout


def make_loss(config, game: rocks.Params, network):
    """(params, rollout, envs after it, step) -> (loss, metrics), of one device.

    Under the mapped axis 'devices': advantages are standardised over all of them. The
    entropy bonus falls linearly to 0 over the run.
    """
    entropy_cost = optimizers.linear(config.entropy_cost, 0.0, config.num_steps)

    def loss(params, rollout, last, step):
        envs = jax.tree.map(
            lambda a, b: jnp.concatenate([a, b[None]]), rollout.envs, last
        )
        logits, values = jax.vmap(
            lambda envs: network.apply(params, rocks.render(envs, game))
        )(envs)
        logits = logits[:-1]
        advantages, targets = advantages_and_targets(
            config, rollout.rewards, lax.stop_gradient(values), rollout.discounts
        )
        if config.standardize_advantages:
            advantages = _standardize(advantages)
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
      UserError: where the config makes no game, no network or no algorithm.
    """
    if config.algorithm not in ("a2c", "reinforce"):
        raise UserError(
            f"config.algorithm: there is no {config.algorithm!r}; "
            "there are: a2c, reinforce"
        )
    require_positive(config, "rollout_steps", "eval_rocks")
    num_envs = devices.per_device("config.num_envs", config.num_envs)
    game, network = agent(config)
    tx = optimizers.make(config)
    rollout = make_rollout(config, game, network)
    loss = make_loss(config, game, network)

    def init(key):
        params_key, envs_key = jax.random.split(key)
        observations, envs = rocks.reset(envs_key, game, num_envs)
        params = network.init(params_key, observations)
        return State(
            step=jnp.int32(0),
            params=params,
            opt_state=tx.init(params),
            envs=envs,
            returns=jnp.zeros(num_envs),
            last_returns=jnp.zeros(num_envs),
        )

    def step(state, batch, key):
        del batch  # an agent makes its own
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

    evaluate, figures = evaluation.judges(*policy(config), config.eval_rocks)
    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        metric=evaluation.metric(game),
        counts={"env_steps": config.num_envs * config.rollout_steps},
        local=("envs", "returns", "last_returns"),
    )


def _standardize(advantages):
    mean = lax.pmean(jnp.mean(advantages), devices.AXIS)
    variance = lax.pmean(jnp.mean(jnp.square(advantages - mean)), devices.AXIS)
    return (advantages - mean) * lax.rsqrt(variance + 1e-8)


abilities = Abilities(play=policy)
