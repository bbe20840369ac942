"""Both algorithms in rain: the share of an optimal player's catches.

python -m launch.sweep --config=configs/sweeps/rocks_rain.py

docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = ("configs/pg_rocks16_rain.py", "configs/dqn_rocks16_rain.py")
    config.seeds = (0, 1, 2, 3, 4)
    config.side_by_side = False

    # Metric to compare, and its target.
    config.metric = "optimal_fraction"
    config.target = 0.97
    return config
