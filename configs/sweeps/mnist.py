"""Classifiers of MNIST, five seeds of each: accuracy and training time.

python -m launch.sweep --config=configs/sweeps/mnist.py

docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = (
        "configs/numpy_mnist.py",
        "configs/mlp_mnist.py",
        "configs/cnn_mnist_fast.py",
        "configs/cnn_mnist.py",
    )
    config.seeds = (0, 1, 2, 3, 4)
    config.side_by_side = False  # because times are measured
    config.metric = "accuracy"
    return config
