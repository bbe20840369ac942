"""Both algorithms and networks on rocks of three sizes: a table of docs/measured.md.

python -m launch.sweep --config=configs/sweeps/rocks_table.py
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = tuple(
        f"configs/{algorithm}_rocks{size}.py:{network}"
        for algorithm in ("pg", "dqn")
        for size in (8, 16, 32)
        for network in ("mlp", "cnn")
    )
    config.seeds = (0, 1, 2, 3, 4)
    config.side_by_side = False  # because times are measured

    # Metric to compare, and its target.
    config.metric = "perfect_starts"
    config.target = "starts"
    return config
