"""The game, network and greedy policy of agents that learn action values."""

from dlx.envs.environment import Environment
from dlx.rl import evaluation, networks


def agent(config) -> tuple[Environment, networks.QNetwork]:
    """Makes the config's game and network.

    Raises:
      UserError: if the config is invalid.
    """
    env = evaluation.make_env(config)
    evaluation.require_discrete(config, env)
    torso = evaluation.make_torso(config)
    return env, networks.QNetwork(torso, env.num_actions, config.dueling)


def policy(config) -> tuple[Environment, evaluation.Scores]:
    """Returns the game, and (params, observations) -> action values."""
    env, network = agent(config)
    return env, network.apply
