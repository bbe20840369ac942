"""PQN learns rocks on a 16x16 screen.

    python -m launch.main --config=configs/pqn_rocks16.py

docs/measured.md has results, beside those of rejax.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "pqn"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.size = 16
    config.env.sparse = True  # an MLP reads lists of lit pixels
    config.env.paddle_width = 1
    config.env.spawn_every = ml_collections.config_dict.placeholder(int)  # size - 1
    config.env.rocks_per_episode = 10
    config.env.max_steps = ml_collections.config_dict.placeholder(int)  # no limit
    config.num_envs = 64
    config.rollout_steps = 15  # the duration of a fall

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = "mlp"
    config.features = (128,)
    config.channels = (8, 16)
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.layer_norm = True
    config.dueling = False

    # The algorithm.
    config.discount = 0.9
    config.q_lambda = 0.8
    config.epochs = 1
    config.minibatches = 8
    config.epsilon_start = 1.0
    config.epsilon_end = 0.05
    config.epsilon_steps = 60

    # The optimiser: Adam, its learning rate falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 3e-3
    config.max_grad_norm = 10.0

    # The run.
    config.num_steps = 1600
    config.log_steps = 20
    config.eval_steps = 80
    config.checkpoint_steps = 400
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_episodes = 1000
    return config
