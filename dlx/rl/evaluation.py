"""Parts that all agents on rocks share: game, torso, optimiser, measures, figures."""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp
import optax

from dlx import fields, optimizers
from dlx.envs import drawing, measure, rocks
from dlx.errors import user_error_in
from dlx.rl import networks

FIELDS = {
    "num_envs": fields.integer(),
    "network": fields.choice("mlp", "cnn"),
    "features": fields.row(fields.integer()),
    "channels": fields.row(fields.integer()),
    "discount": fields.real(0, 1),
    "eval_rocks": fields.integer(),
}

# (params, observations [batch, ...]) -> [batch, num_actions] float32. The largest score
# is the greedy action's.
Scores = Callable[..., jax.Array]


def make_game(config) -> rocks.Params:
    """Makes the game of `config.env`. Raises UserError if that is invalid."""
    with user_error_in("config.env"):
        return rocks.Params(**config.env)


def make_torso(config) -> nn.Module:
    """Makes the torso of `config.network`. Raises UserError if that is invalid."""
    with user_error_in("config.network"):
        return networks.make_torso(
            config.network, features=config.features, channels=config.channels
        )


def make_optimizer(config, updates: int = 1) -> optax.GradientTransformation:
    """Makes the optimiser of the config; its learning rate falls linearly to 0.

    Args:
      config: Its learning_rate, max_grad_norm and num_steps are read, and optimizer if
        it has one, which is Adam otherwise.
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


def metric(game: rocks.Params) -> str:
    """The metric that selects the best checkpoint.

    With one rock at a time every start can be tried; with several rocks only a sample
    of episodes can.
    """
    return "perfect_starts" if game.max_rocks == 1 else "optimal_fraction"


def make(game: rocks.Params, scores: Scores, num_rocks: int):
    """Makes a task's `evaluate` and `figures` for the greedy policy.

    Args:
      game: The game.
      scores: The agent's action scores.
      num_rocks: The least number of rocks in the sampled measures.
    """

    def policy(params):
        return lambda observations: jnp.argmax(scores(params, observations), axis=-1)

    @jax.jit
    def evaluate(state, key):
        return measure.measure(policy(state.params), game, key, num_rocks)

    @jax.jit
    def record(params, key):
        return measure.record(policy(params), game, key)

    def figures(state, key):
        screens, scores = jax.device_get(record(state.params, key))
        return {"play": drawing.film(screens, scores, game.rocks_per_episode)}

    return evaluate, figures
