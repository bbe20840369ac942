"""Parts that all agents share: game, torso, optimiser, evaluation and figures."""

from collections.abc import Callable
import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import optax

from dlx import fields, optimizers, streams
from dlx.envs import registration
from dlx.envs.environment import Environment
from dlx.errors import UserError, user_error_in
from dlx.rl import networks
from dlx.runtime import memory

# float32 is the dtype of observations; without a dtype nothing is converted.
_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
FIELDS = {
    "dtype": fields.choice(*_DTYPES),
    "env": fields.group(),
    "num_envs": fields.integer(),
    "network": fields.choice("mlp", "cnn"),
    "features": fields.row(fields.integer()),
    "channels": fields.row(fields.integer()),
    "layer_norm": fields.flag(),
    "discount": fields.real(0, 1),
    "eval_episodes": fields.integer(),
    "eval_rocks": fields.integer(),  # replaces eval_episodes on rocks
}

# (params, observations [batch, ...]) -> [batch, num_actions] float32. The largest score
# is the greedy action's. If actions are continuous, it is the greedy action itself.
Scores = Callable[..., jax.Array]


def make_env(config) -> Environment:
    """Makes the game of `config.env`. Raises UserError if that is invalid.

    Lists of lit pixels are for fully connected networks; others get the same screens.
    """
    env = registration.make(**config.env)
    if config.network != "mlp" and getattr(env, "sparse", False):
        return dataclasses.replace(env, sparse=False)
    return env


def require_discrete(config, env: Environment) -> None:
    """Raises UserError if the game's actions are continuous."""
    if env.num_actions is None:
        raise UserError(
            f"{config.task} needs discrete actions, but the actions of "
            f"{config.env.get('name')!r} are continuous; use policy_gradient"
        )


def make_torso(config) -> nn.Module:
    """Makes the torso of `config.network`. Raises UserError if that is invalid."""
    with user_error_in("config.network"):
        return networks.make_torso(
            config.network,
            features=config.features,
            channels=config.channels,
            layer_norm=config.get("layer_norm", False),
            dtype=_DTYPES[config.get("dtype", "float32")],
        )


def make_optimizer(config, updates: int = 1) -> optax.GradientTransformation:
    """Makes the optimiser of the config; its learning rate falls linearly to 0.

    Args:
      config: Its learning_rate, max_grad_norm, num_steps and, if it is there, optimizer
        are read. The default optimiser is Adam.
      updates: The number of updates in each step.

    Raises:
      UserError: if the config is invalid.
    """
    return optimizers.make(
        config.get("optimizer", "adam"),
        config.num_steps * updates,
        learning_rate=config.learning_rate,
        schedule="linear",
        max_grad_norm=config.max_grad_norm,
    )


def greedy(env: Environment, scores: Scores, params):
    """The greedy policy: observations -> actions."""
    if env.num_actions is None:
        return lambda observations: scores(params, observations)
    return lambda observations: jnp.argmax(scores(params, observations), axis=-1)


def num_episodes(config) -> int:
    """The number of episodes of an evaluation."""
    if "eval_episodes" in config:
        return config.eval_episodes
    return -(-config.eval_rocks // config.env.get("rocks_per_episode", 10))


def make(config, env: Environment, scores: Scores):
    """Makes a task's `evaluate` and `figures` for the greedy policy.

    Args:
      config: It reads `eval_episodes`.
      env: The game.
      scores: The agent's action scores.

    Raises:
      UserError: if the observations of all episodes do not fit into memory.
    """
    episodes = num_episodes(config)
    field = "eval_episodes" if "eval_episodes" in config else "eval_rocks"
    observations = jax.eval_shape(
        lambda key: env.observe(env.reset(key, episodes)),
        streams.key(0, "unused"),
    )
    memory.require(
        observations.size * observations.dtype.itemsize,
        f"config.{field}={config[field]}: the observations of an evaluation's "
        f"{episodes} episodes take",
    )

    @jax.jit
    def evaluate(state, key):
        return env.measure(greedy(env, scores, state.params), key, episodes)

    def figures(state, key):
        film = env.film(greedy(env, scores, state.params), key)
        return {} if film is None else {"play": film}

    return evaluate, figures
