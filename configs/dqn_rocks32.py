"""Deep Q-learning learns most of rocks on a 32x32 screen.

    python -m launch.main --config=configs/dqn_rocks32.py
    python -m launch.main --config=configs/dqn_rocks32.py:cnn  # its own settings

It does not reach all starts in every seed; configs/pg_rocks32.py does.
docs/measured.md has results.
"""

from typing import Literal

import ml_collections


def get_config(
    network: Literal["mlp", "cnn"] = "mlp",
) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "dqn"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.size = 32
    config.env.sparse = True  # an MLP reads lists of lit pixels
    config.env.paddle_width = 1
    config.env.spawn_every = ml_collections.config_dict.placeholder(int)  # size - 1
    config.env.rocks_per_episode = 10
    config.env.max_steps = ml_collections.config_dict.placeholder(int)  # no limit
    config.num_envs = 256  # many, because rare starts are hard

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = network
    config.features = (128,)
    config.channels = (8, 16)
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.dueling = True

    # The algorithm.
    config.discount = 0.97
    config.double = True
    config.n_step = 16
    config.huber = 0.0  # if not 0, the error at which the loss becomes linear
    config.target_rate = 0.05  # soft updates; 0.0 copies every target_steps
    config.target_steps = 50
    config.epsilon_start = 1.0
    config.epsilon_end = 0.02  # the far corners need 31 correct moves in a row
    config.epsilon_steps = 1500

    # The replay.
    config.replay_size = 524_288
    config.batch_size = 128
    config.updates = 1  # updates per step of all environments
    config.prioritized = False
    config.alpha = 0.6
    config.beta = 0.4  # rises to 1 over the run

    # The optimiser, its learning rate falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 3e-3
    config.max_grad_norm = 10.0

    # The run.
    config.num_steps = {"mlp": 24_000, "cnn": 10_000}[network]
    config.log_steps = 50
    config.eval_steps = 1000
    config.checkpoint_steps = 1000
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_rocks = 10_000
    return config
