"""Advantage actor-critic learns rocks on a 64x64 screen.

    python -m launch.main --config=configs/pg_rocks64.py

docs/measured.md has results and what else was tried.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "policy_gradient"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.size = 64
    # An MLP reads lists of lit pixels. On screens it would take 100 times as long.
    config.env.sparse = True
    config.env.paddle_width = 1
    config.env.spawn_every = ml_collections.config_dict.placeholder(int)  # size - 1
    config.env.rocks_per_episode = 10
    config.env.max_steps = ml_collections.config_dict.placeholder(int)  # no limit
    config.num_envs = 512
    config.rollout_steps = 63  # the duration of a fall

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = "mlp"
    config.features = (128,)
    config.channels = (8, 16)
    config.dtype = "float32"  # or 'bfloat16', for a GPU

    # The algorithm: 'a2c', or 'reinforce' with or without a learnt `baseline`.
    config.algorithm = "a2c"
    config.discount = 0.975
    config.gae_lambda = 0.99  # the far corners are 63 steps from their reward
    config.baseline = True
    config.standardize_advantages = True
    config.value_cost = 0.5
    # Falls to 0 over the run. With half of it, and half as many steps, two of five
    # seeds never learn the rocks of a band of columns.
    config.entropy_cost = 0.3

    # The optimiser, its learning rate also falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 2e-2
    config.max_grad_norm = 0.5

    # The run.
    config.num_steps = 3000
    config.log_steps = 5
    config.eval_steps = 50
    config.checkpoint_steps = 500
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_rocks = 10_000
    return config
