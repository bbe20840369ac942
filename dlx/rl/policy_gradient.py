"""Policy gradients on rocks: REINFORCE and advantage actor-critic.

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

from dlx import fields, optimizers
from dlx.envs import rocks
from dlx.rl import evaluation
from dlx.rl.networks import ActorCritic
from dlx.rl.returns import advantages_and_targets, standardize
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task

FIELDS = (
    optimizers.FIELDS
    | evaluation.FIELDS
    | {
        "rollout_steps": fields.integer(),
        "algorithm": fields.choice("a2c", "reinforce"),
        "gae_lambda": fields.real(0, 1),
        "baseline": fields.flag(),
        "standardize_advantages": fields.flag(),
        "value_cost": fields.real(0),
        "entropy_cost": fields.real(0),
    }
)


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
    envs: rocks.State
    returns: jax.Array
    last_returns: jax.Array


@struct.dataclass
class Rollout:
    """A rollout; every field is [time, env].

    Attributes:
      envs: The games before each action. Screens are rendered when they are needed.
      actions: int32.
      rewards: float32. If an episode is truncated, the discounted value of its last
        state is added (Pardo et al. 2018, equation 6).
      discounts: float32. It is 0 if the episode ended.
    """

    envs: rocks.State
    actions: jax.Array
    rewards: jax.Array
    discounts: jax.Array


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


def agent(config) -> tuple[rocks.Params, ActorCritic]:
    """Makes the config's game and network.

    Raises:
      UserError: if the config is invalid.
    """
    torso = evaluation.make_torso(config)
    return evaluation.make_game(config), ActorCritic(torso, rocks.NUM_ACTIONS)


def policy(config) -> tuple[rocks.Params, evaluation.Scores]:
    """Returns the game, and (params, observations) -> action logits."""
    game, network = agent(config)
    return game, lambda params, observations: network.apply(params, observations)[0]


def make_rollout(config, game: rocks.Params, network):
    """Returns (params, state, key) -> (state, Rollout), which only plays."""

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
            lambda envs: network.apply(params, rocks.render(envs, game))
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
    num_envs = devices.per_device("config.num_envs", config.num_envs)
    game, network = agent(config)
    tx = evaluation.make_optimizer(config)
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

    evaluate, figures = evaluation.make(*policy(config), config.eval_rocks)
    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        metric=evaluation.metric(game),
        counts={"env_steps": config.num_envs * config.rollout_steps},
        local=("envs", "returns", "last_returns"),
    )


abilities = Abilities(play=policy)
