"""Advantage actor-critic learns rocks in rain, with a new rock every 4 steps.

    python -m launch.main --config=configs/pg_rocks16_rain.py

Its measure is `optimal_fraction`, the share of the optimum, which is what an oracle
catches that knows all columns. It catches less than configs/dqn_rocks16_rain.py.
docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "policy_gradient"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.size = 16
    config.env.sparse = True  # an MLP reads lists of lit pixels
    config.env.paddle_width = 1
    config.env.spawn_every = 4
    config.env.rocks_per_episode = 10
    config.env.max_steps = ml_collections.config_dict.placeholder(int)  # no limit
    config.num_envs = 512
    config.rollout_steps = 32  # the duration of two falls

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = "mlp"
    config.features = (128,)
    config.channels = (8, 16)
    config.dtype = "float32"  # or 'bfloat16', for a GPU

    # The algorithm: 'a2c', or 'reinforce' with or without a learnt `baseline`.
    config.algorithm = "a2c"
    config.discount = 0.9
    config.gae_lambda = 0.95
    config.baseline = True
    config.standardize_advantages = True
    config.value_cost = 0.5
    config.entropy_cost = 0.05  # falls to 0 over the run

    # The optimiser, its learning rate also falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 2e-2
    config.max_grad_norm = 0.5

    # The run.
    config.num_steps = 500
    config.log_steps = 5
    config.eval_steps = 50
    config.checkpoint_steps = 50
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_rocks = 10_000
    return config
