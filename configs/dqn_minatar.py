"""Deep Q-learning on the small Atari games of MinAtar, with one config for all.

    python -m launch.main --config=configs/dqn_minatar.py
    python -m launch.main --config=configs/dqn_minatar.py:SpaceInvaders

The games are Asterix, Breakout, Freeway, Seaquest and SpaceInvaders (Young and Tian
2019), from gymnax. The config exists for the comparison of configs/sweeps/minatar.py.
There are no measured results yet.
"""

import ml_collections


def get_config(game: str = "Breakout") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "dqn"
    config.seed = 0

    # The environment: observations are [10, 10, channels] of 0 and 1.
    config.env = ml_collections.ConfigDict()
    config.env.name = f"gymnax/{game}-MinAtar"
    config.num_envs = 64

    # The network, like that of configs/pqn_minatar.py.
    config.network = "cnn"
    config.features = (128,)
    config.channels = (16,)
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.layer_norm = False
    config.dueling = True

    # The algorithm.
    config.discount = 0.99
    config.double = True
    config.n_step = 3
    config.huber = 1.0  # if not 0, the error at which the loss becomes linear
    config.target_rate = 0.0  # copies every target_steps
    config.target_steps = 100
    config.epsilon_start = 1.0
    config.epsilon_end = 0.05
    config.epsilon_steps = 3000

    # The replay.
    config.replay_size = 131_072
    config.batch_size = 128
    config.updates = 2  # updates per step of all environments
    config.prioritized = False
    config.alpha = 0.6
    config.beta = 0.4  # rises to 1 over the run

    # The optimiser: Adam, its learning rate falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 5e-4
    config.max_grad_norm = 10.0

    # The run: 2e6 steps of all environments.
    config.num_steps = 31_250
    config.log_steps = 250
    config.eval_steps = 6250
    config.checkpoint_steps = 6250
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_episodes = 100
    return config
