"""Deep Q-learning learns rocks on a 16x16 screen.

    python -m launch.main --config=configs/dqn_rocks16.py

5 seeds of 5 (0 to 4) catch the rock from all 256 starts, at every evaluation of the
run's last quarter, and first do after 2.0 (1.2 ... 2.3) s of training (median and
range); the run trains for 3.3 (3.2 ... 3.8) s. The convolutional network: 5 of 5, first
after 3.9 (2.0 ... 4.8) s, 11 (11 ... 12) s in all. Two cores of a shared AMD EPYC, JAX
0.10.2.
"""

import ml_collections


def get_config(network: str = "mlp") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "dqn"
    config.seed = 0

    # The game.
    config.env = ml_collections.ConfigDict()
    config.env.size = 16
    config.env.paddle_width = 1
    config.env.spawn_every = ml_collections.config_dict.placeholder(int)  # size - 1
    config.env.rocks_per_episode = 10
    config.env.max_steps = ml_collections.config_dict.placeholder(int)  # never
    config.num_envs = 256  # many: rare starts are the work

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = network
    config.features = (64,)
    config.channels = (8, 16)
    config.dueling = True

    # The algorithm.
    config.discount = 0.95
    config.double = True
    config.n_step = 3
    config.huber = 0.0  # other than 0: from where the squared error becomes linear
    config.target_rate = 0.05  # follow softly; at 0.0 copy every so many steps:
    config.target_steps = 50
    config.epsilon_start = 1.0
    config.epsilon_end = 0.1  # at 0.03 and at 0.3 fewer seeds get there
    config.epsilon_steps = 500

    # The replay.
    config.replay_size = 131_072
    config.batch_size = 128
    config.updates = 1  # for each step of all environments
    config.prioritized = False
    config.alpha = 0.6
    config.beta = 0.4  # rises to 1 over the run

    # The optimiser: Adam, its learning rate falling linearly to 0.
    config.learning_rate = 5e-3
    config.max_grad_norm = 10.0

    # The run.
    config.num_steps = 5500
    config.log_steps = 50
    config.eval_steps = 500
    config.checkpoint_steps = 500
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_rocks = 10_000
    return config
