"""Mode collapse of a DCGAN of MNIST, with our settings and with the original ones.

python -m launch.sweep --config=configs/sweeps/dcgan_mnist.py

The original recipe (Radford et al. 2016, with the minimax loss) has its own batch size
and two fifths of our steps. Its learning rate is multiplied by 1/4, 1, 4 and 16.
docs/measured.md has results.
"""

import ml_collections

_ORIGINAL = {
    "latents": 100,
    "d_kernel": (5, 5),
    "d_norm": "batch",
    "loss": "minimax",
    "r1": 0.0,
    "r2": 0.0,
    "batch_size": 128,
    "adam_b1": 0.5,
    "adam_b2": 0.999,
    "schedule": "constant",
    "ema_decay": 0.0,
    "num_steps": 1880,
    "eval_steps": 188,
}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = ("configs/dcgan_mnist.py",)
    variants = [("as it is", {})]
    for times in (0.25, 1, 4, 16):
        rates = dict.fromkeys(("g_learning_rate", "d_learning_rate"), 2e-4 * times)
        name = f"the original, learning rate x {times}"
        variants.append((name, _ORIGINAL | rates))
    config.variants = tuple(variants)
    config.seeds = (0, 1, 2, 3, 4)
    config.side_by_side = False

    # Metric to compare, the share of the rarest digit among samples in percent; its
    # target, and further metrics to show.
    config.metric = "least_share"
    config.target = 5.0
    config.also = ("last_least_share", "last_fid_mnist_classifier")
    return config
