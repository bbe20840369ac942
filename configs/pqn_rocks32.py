"""PQN learns rocks on a 32x32 screen.

    python -m launch.main --config=configs/pqn_rocks32.py

docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "pqn"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.size = 32
    config.env.sparse = True  # an MLP reads lists of lit pixels
    config.env.paddle_width = 1
    config.env.spawn_every = ml_collections.config_dict.placeholder(int)  # size - 1
    config.env.rocks_per_episode = 10
    config.env.max_steps = ml_collections.config_dict.placeholder(int)  # no limit
    config.num_envs = 512
    config.rollout_steps = 31  # the duration of a fall

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = "mlp"
    config.features = (128,)
    config.channels = (8, 16)
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.layer_norm = True
    config.dueling = False

    # The algorithm.
    config.discount = 0.98
    config.q_lambda = 0.95
    config.epochs = 2
    config.minibatches = 16
    config.epsilon_start = 1.0
    config.epsilon_end = 0.02
    config.epsilon_steps = 30

    # The optimiser: Adam, its learning rate falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 1e-3
    config.max_grad_norm = 10.0

    # The run.
    config.num_steps = 600
    config.log_steps = 5
    config.eval_steps = 20
    config.checkpoint_steps = 100
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_episodes = 1000
    return config
