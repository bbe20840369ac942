"""Ablation of DQN on 16x16 rocks: each component removed alone, and all together.

python -m launch.sweep --config=configs/sweeps/dqn_ablation.py

docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = ("configs/dqn_rocks16.py",)
    pieces = {
        "one environment": {"num_envs": 1},
        "replay of 500 steps": {"num_envs": 1, "replay_size": 500},
        "batch of 50": {"batch_size": 50},
        "no target network": {"target_rate": 1.0},
        "one-step returns": {"n_step": 1},
        "no double Q-learning": {"double": False},
        "no duelling heads": {"dueling": False},
        "learning rate of 1e-3": {"learning_rate": 1e-3},
    }
    everything = {name: x for piece in pieces.values() for name, x in piece.items()}
    config.variants = (
        ("as configured", {}),
        *pieces.items(),
        ("all of these", everything),
    )
    config.seeds = (0, 1, 2, 3, 4)
    config.side_by_side = True

    # Metric to compare, and its target.
    config.metric = "perfect_starts"
    config.target = "starts"
    return config
