"""Deep Q-learning learns rocks in rain, with a new rock every 4 steps.

    python -m launch.main --config=configs/dqn_rocks16_rain.py

Its measure is `optimal_fraction`, the share of the optimum, which is what an oracle
catches that knows all columns. docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "dqn"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.size = 16
    config.env.sparse = True  # an MLP reads lists of lit pixels
    config.env.paddle_width = 1
    config.env.spawn_every = 4
    config.env.rocks_per_episode = 10
    config.env.max_steps = ml_collections.config_dict.placeholder(int)  # no limit
    config.num_envs = 256  # many, because rare starts are hard

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = "mlp"
    config.features = (256,)
    config.channels = (8, 16)
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.dueling = True

    # The algorithm.
    config.discount = 0.95
    config.double = True
    config.n_step = 3
    config.huber = 0.0  # if not 0, the error at which the loss becomes linear
    config.target_rate = 0.05  # soft updates; 0.0 copies every target_steps
    config.target_steps = 50
    config.epsilon_start = 1.0
    config.epsilon_end = 0.03
    config.epsilon_steps = 500

    # The replay.
    config.replay_size = 262_144
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
    config.num_steps = 20_000
    config.log_steps = 50
    config.eval_steps = 1000
    config.checkpoint_steps = 1000
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_rocks = 10_000
    return config
