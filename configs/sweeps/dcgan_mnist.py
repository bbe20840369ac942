"""Does a DCGAN of MNIST collapse? As it is here, and as it was when it was new.

python -m launch.sweep --config=configs/sweeps/dcgan_mnist.py

The original recipe (Radford et al. 2016, with the minimax loss) at a quarter of its
learning rate, at that, and at four times that.
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
}


def get_config(only: str | None = None) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = ("configs/dcgan_mnist.py",)
    variants = [("as it is", {})]
    for times, text in ((0.25, "a quarter of"), (1, "with"), (4, "four times")):
        rates = dict.fromkeys(("g_learning_rate", "d_learning_rate"), 2e-4 * times)
        variants.append((f"the original, {text} its learning rate", _ORIGINAL | rates))
    config.variants = tuple(variants if only is None else [variants[int(only)]])
    config.seeds = (0, 1, 2, 3, 4)
    config.side_by_side = True

    # Of the evaluation: the share of samples that the rarest digit has, in percent.
    config.metric = "least_share"
    config.target = 5.0
    return config
