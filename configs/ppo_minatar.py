"""PPO learns the small Atari games of MinAtar, with one config for all.

    python -m launch.main --config=configs/ppo_minatar.py
    python -m launch.main --config=configs/ppo_minatar.py:SpaceInvaders

The games are Asterix, Breakout, Freeway, Seaquest and SpaceInvaders (Young and Tian
2019), from gymnax. docs/measured.md has results; configs/sweeps/minatar.py compares
algorithms.
"""

import ml_collections


def get_config(game: str = "Breakout") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "policy_gradient"
    config.seed = 0

    # The environment: observations are [10, 10, channels] of 0 and 1.
    config.env = ml_collections.ConfigDict()
    config.env.name = f"gymnax/{game}-MinAtar"
    config.num_envs = 128
    config.rollout_steps = 64

    # The network: a convolution of stride 2 takes a third of the time of one of stride
    # 1, which has four times as many outputs.
    config.network = "cnn"
    config.features = (128,)
    config.channels = (16,)
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.layer_norm = False

    # The algorithm.
    config.algorithm = "ppo"
    config.discount = 0.99
    config.gae_lambda = 0.95
    config.baseline = True
    config.standardize_advantages = True
    config.value_cost = 0.5
    config.entropy_cost = 0.05  # falls to 0 over the run
    config.epochs = 3
    config.minibatches = 8
    config.clip_epsilon = 0.2
    config.value_clip = 0.0  # if not 0, the largest change of a value in an update

    # The optimiser: Adam, its learning rate falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 2e-3
    config.max_grad_norm = 0.5

    # The run: 1.02e7 steps of all environments.
    config.num_steps = 1250
    config.log_steps = 5
    config.eval_steps = 125
    config.checkpoint_steps = 250
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_episodes = 100
    return config
