"""Advantage actor-critic learns rocks on a 32x32 screen.

    python -m launch.main --config=configs/pg_rocks32.py
    python -m launch.main --config=configs/pg_rocks32.py:cnn  # its own settings

All 5 seeds (0 to 4) catch the rock from all 1,024 starts at every evaluation of the
run's last quarter. They first do after 21 (19 ... 28) s of training (median and range);
the run trains for 50 (46 ... 63) s on two cores of a shared Intel Xeon with JAX 0.10.2.
On one core all 5 seeds do, first after 44 (36 ... 55) s. With the convolutional network
all 5 seeds do, first after 189 (158 ... 230) s; that run trains for 441 (349 ... 481) s
on one core, except for half of seed 0. With --config.env.sparse=True, seeds 0 and 1
first do after 23 and 30 s, which are 6.5 and 7.9 s of processor time, on two cores of
an AMD EPYC under a load of 14.
"""

import ml_collections


def get_config(network: str = "mlp") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "policy_gradient"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.size = 32
    config.env.sparse = False  # True: the same function of screens, much faster
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
