"""PQN learns the small Atari games of MinAtar, with one config for all.

    python -m launch.main --config=configs/pqn_minatar.py
    python -m launch.main --config=configs/pqn_minatar.py:SpaceInvaders

The games are Asterix, Breakout, Freeway, Seaquest and SpaceInvaders (Young and Tian
2019), from gymnax. docs/measured.md has results; configs/sweeps/minatar.py compares
algorithms.
"""

import ml_collections


def get_config(game: str = "Breakout") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "pqn"
    config.seed = 0

    # The environment: observations are [10, 10, channels] of 0 and 1.
    config.env = ml_collections.ConfigDict()
    config.env.name = f"gymnax/{game}-MinAtar"
    config.num_envs = 128
    config.rollout_steps = 32

    # The network: a convolution of stride 2 takes a third of the time of one of stride
    # 1, which has four times as many outputs.
    config.network = "cnn"
    config.features = (128,)
    config.channels = (16,)
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.layer_norm = True
    config.dueling = False

    # The algorithm.
    config.discount = 0.99
    config.q_lambda = 0.65
    config.epochs = 2
    config.minibatches = 16
    config.epsilon_start = 1.0
    config.epsilon_end = 0.05
    config.epsilon_steps = 250

    # The optimiser: Adam, its learning rate falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 5e-4
    config.max_grad_norm = 10.0

    # The run: 1.02e7 steps of all environments.
    config.num_steps = 2500
    config.log_steps = 10
    config.eval_steps = 250
    config.checkpoint_steps = 500
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_episodes = 100
    return config
