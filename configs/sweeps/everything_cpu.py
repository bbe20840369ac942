"""All experiments that two cores train in a night, five seeds of each.

    python -m launch.sweep --config=configs/sweeps/everything_cpu.py
    python -m launch.results

The second command makes docs/results.md and README's table of this sweep. A part of the
experiments: --config.configs="('configs/pg_rocks16.py',)".
There are no measured results of the whole sweep; docs/results.md has a part of it.
"""

import ml_collections

_GAMES = "Breakout", "Asterix", "Freeway", "SpaceInvaders"
_SHORT = {"num_steps": 250}  # a tenth of the config's, 1.02 million steps of a game


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = (
        *(
            f"configs/{algorithm}_rocks{size}.py:{network}"
            for size in (8, 16, 32)
            for algorithm in ("pg", "dqn")
            for network in ("mlp", "cnn")
        ),
        *(f"configs/pqn_rocks{size}.py" for size in (16, 32)),
        *(f"configs/{algorithm}_rocks16_rain.py" for algorithm in ("pg", "dqn")),
        *((f"configs/pqn_minatar.py:{game}", _SHORT) for game in _GAMES),
        *("configs/numpy_mnist.py", "configs/mlp_mnist.py"),
        *("configs/cnn_mnist_fast.py", "configs/cnn_mnist.py"),
        "configs/cnn_cifar10.py",
        *("configs/dcgan_digits.py", "configs/flow_digits.py"),
        *("configs/dcgan_mnist.py", "configs/gman_stacked_digits.py"),
        *("configs/vae_mnist.py", "configs/textgan.py"),
    )
    config.seeds = (0, 1, 2, 3, 4)
    config.side_by_side = False  # because times are measured

    # Each config is measured by its own metric. Where a config evaluates this other
    # metric, it is the target; the further ones are shown where they are evaluated.
    config.metric = ml_collections.config_dict.placeholder(str)
    config.target = "starts"
    config.also = (
        *("last_fid_digits_classifier", "last_fid_mnist_classifier"),
        *("last_kid_digits_classifier", "last_kid_mnist_classifier"),
        *("last_least_share", "last_modes", "last_kl", "last_log_likelihood"),
        *("optimal_fraction", "episode_steps"),
    )
    return config
