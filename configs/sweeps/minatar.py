"""PQN, PPO and DQN on four small Atari games, one config each for all games.

python -m launch.sweep --config=configs/sweeps/minatar.py

DQN trains for 2e6 steps, the others for 1e7. Each run's figures/play.gif is a
film of its agent. docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = tuple(
        f"configs/{algorithm}_minatar.py:{game}"
        for algorithm in ("pqn", "ppo", "dqn")
        for game in ("Breakout", "Asterix", "Freeway", "SpaceInvaders")
    )
    config.seeds = (0, 1, 2)
    config.side_by_side = False  # because times are measured

    # Metric to compare.
    config.metric = "episode_return"
    config.also = ("episode_steps",)
    return config
