"""What all agents on rocks share: game, torso, and how they are judged.

An agent's module in `dlx.tasks` has, besides `make`, a function `policy`: config ->
(game, scores), for whoever wants to see it play.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from dlx import figures as drawing
from dlx.envs import measure, rocks
from dlx.errors import user_error_in
from dlx.rl import torsos

# (params, observations [batch, ...]) -> [batch, num_actions] float32; the largest is
# what the agent would do.
Scores = Callable[..., jax.Array]


def make_game(config) -> rocks.Params:
    """The game of `config.env`; a UserError where that makes none."""
    with user_error_in("config.env"):
        return rocks.Params(**config.env)


def make_torso(config) -> nn.Module:
    """The network that `config.network` names; a UserError where there is none."""
    with user_error_in("config.network"):
        return torsos.make(
            config.network, features=config.features, channels=config.channels
        )


def metric(game: rocks.Params) -> str:
    """What matters most: every start caught; or, where rocks fall together, the share.

    Of a lone rock's starts each can be tried; of several rocks only some episodes.
    """
    return "perfect_starts" if game.max_rocks == 1 else "optimal_fraction"


def judges(game: rocks.Params, scores: Scores, num_rocks: int):
    """A task's `evaluate` and `figures`, of the greedy policy that it has learnt.

    Args:
      game: What is played.
      scores: What the agent thinks of its actions.
      num_rocks: At the least, for the sampled measures.
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
        return {"play": drawing.rocks(screens, scores, game.rocks_per_episode)}

    return evaluate, figures
