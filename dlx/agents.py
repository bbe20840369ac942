"""What all agents on rocks share: game, torso, and how they are judged."""

from collections.abc import Callable

from flax import linen as nn
import jax

from dlx import figures as drawing
from dlx.envs import play, rocks
from dlx.errors import blame
from dlx.models import torsos


def make_game(config) -> rocks.Params:
    """The game of `config.env`; a UserError where that makes none."""
    with blame("config.env"):
        return rocks.Params(**config.env)


def make_torso(config) -> nn.Module:
    """The network that `config.network` names; a UserError where there is none."""
    with blame("config.network"):
        return torsos.make(
            config.network, features=config.features, channels=config.channels
        )


def judges(
    act: Callable[..., jax.Array], game: rocks.Params, num_rocks: int
) -> tuple[Callable, Callable]:
    """A task's `evaluate` and `figures`, of the policy that it has learnt.

    Args:
      act: (params, observations [batch, ...]) -> actions [batch], deterministic.
      game: What is played.
      num_rocks: At the least, for the sampled measures.
    """

    def policy(params):
        return lambda observations: act(params, observations)

    def evaluate(state, key):
        return play.measure(policy(state.params), game, key, num_rocks)

    @jax.jit
    def record(params, key):
        return play.record(policy(params), game, key)

    def figures(state, key):
        screens, scores = jax.device_get(record(state.params, key))
        return {"play": drawing.rocks(screens, scores, game.rocks_per_episode)}

    return evaluate, figures
