"""Advantage actor-critic learns rocks on a 32x32 screen.

    python -m launch.main --config=configs/pg_rocks32.py
    python -m launch.main --config=configs/pg_rocks32.py:cnn  # its own settings

docs/measured.md has results; configs/sweeps/rocks_table.py compares sizes, networks and
algorithms.
"""

from typing import Literal

import ml_collections


def get_config(
    network: Literal["mlp", "cnn"] = "mlp",
) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "policy_gradient"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.size = 32
    config.env.sparse = True  # an MLP reads lists of lit pixels
    config.env.paddle_width = 1
    config.env.spawn_every = ml_collections.config_dict.placeholder(int)  # size - 1
    config.env.rocks_per_episode = 10
    config.env.max_steps = ml_collections.config_dict.placeholder(int)  # no limit
    config.num_envs = {"mlp": 512, "cnn": 256}[network]
    config.rollout_steps = 31  # the duration of a fall

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = network
    config.features = (128,)
    config.channels = (8, 16)
    config.dtype = "float32"  # or 'bfloat16', for a GPU

    # The algorithm: 'a2c', or 'reinforce' with or without a learnt `baseline`.
    config.algorithm = "a2c"
    config.discount = 0.95
    # The far corners are 31 steps from their reward.
    config.gae_lambda = {"mlp": 0.99, "cnn": 0.95}[network]
    config.baseline = True
    config.standardize_advantages = True
    config.value_cost = 0.5
    # Falls to 0 over the run.
    config.entropy_cost = {"mlp": 0.15, "cnn": 0.2}[network]

    # The optimiser, its learning rate also falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = {"mlp": 2e-2, "cnn": 1e-2}[network]
    config.max_grad_norm = 0.5

    # The run.
    config.num_steps = 500
    config.log_steps = 5
    config.eval_steps = 25
    config.checkpoint_steps = 50
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_rocks = 10_000
    return config
