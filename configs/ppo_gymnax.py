"""PPO on one of gymnax's small games.

    python -m launch.main --config=configs/ppo_gymnax.py  # CartPole-v1
    python -m launch.main --config=configs/ppo_gymnax.py:Catch-bsuite
    python -m launch.main --config=configs/ppo_gymnax.py:Pendulum-v1  # continuous

docs/measured.md has results, beside those of rejax.
"""

import ml_collections


def get_config(game: str = "CartPole-v1") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "policy_gradient"
    config.seed = 0

    # The environment.
    config.env = ml_collections.ConfigDict()
    config.env.name = f"gymnax/{game}"
    config.num_envs = 64
    config.rollout_steps = 32

    # The network: 'mlp', or 'cnn' with `channels` before the dense `features`.
    config.network = "mlp"
    config.features = (64, 64)
    config.channels = ()
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.layer_norm = game == "Pendulum-v1"

    # The algorithm.
    config.algorithm = "ppo"
    config.discount = {"Pendulum-v1": 0.95}.get(game, 0.99)
    config.gae_lambda = 0.95
    config.baseline = True
    config.standardize_advantages = True
    config.value_cost = 0.5
    # Falls to 0 over the run.
    config.entropy_cost = {"Pendulum-v1": 0.0}.get(game, 0.01)
    config.epochs = 4
    config.minibatches = 4
    config.clip_epsilon = 0.2
    config.value_clip = 0.0  # if not 0, the largest change of a value in an update

    # The optimiser: Adam, its learning rate falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = {"Pendulum-v1": 1e-3}.get(game, 2e-3)
    config.max_grad_norm = {"Pendulum-v1": 10.0}.get(game, 0.5)

    # The run.
    config.num_steps = {"Pendulum-v1": 600}.get(game, 200)
    config.log_steps = 10
    config.eval_steps = 20
    config.checkpoint_steps = 100
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_episodes = 100
    return config
