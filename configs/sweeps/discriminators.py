"""Several discriminators: whether they help, how many, and how to combine their losses.

python -m launch.sweep --config=configs/sweeps/discriminators.py

Each variant is trained for equally many updates of the generator, and once more for
about the same time as one discriminator. docs/gans.md has results.
"""

import ml_collections

_CHANNELS = (32, 64)
_STEPS = 3000
# How many times as long training takes (a core of an AMD EPYC, medians of 5 seeds).
_SLOWER = {2: 1.5, 3: 2.2, 4: 2.5, 5: 3.1}


def get_config(dataset: str = "digits") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.configs = (f"configs/gman_stacked_{dataset}.py",)
    variants = [("1", _several(1, "mean", _STEPS))]
    for number in (2, 3, 5):
        for rule in ("mean", "max", "softmax", "learnt"):
            variants.append((f"{number}, {rule}", _several(number, rule, _STEPS)))
    channels = "one for all, one for each colour"
    variants.append((channels, _several(4, "mean", _STEPS, d_inputs="channels")))
    for number, slower in _SLOWER.items():
        fewer = round(_STEPS / slower / 500) * 500
        what, how = (
            (channels, "channels") if number == 4 else (f"{number}, mean", "same")
        )
        several = _several(number, "mean", fewer, d_inputs=how)
        variants.append((f"{what}, equal time", several))
    config.variants = tuple(variants)
    config.seeds = (0, 1, 2, 3, 4)
    config.side_by_side = False  # because times are compared

    # Metric to compare, its target, and further metrics to show.
    config.metric = "modes"
    config.target = 900
    config.also = ("last_modes", "last_kl", f"last_fid_{dataset}_classifier")
    return config


def _several(number, rule, steps, d_inputs="same"):
    return {
        "g_channels": (64, 32),
        "d_channels": (_CHANNELS,) * number,
        "dropout": (0.0,) * number,
        "mixing": rule,
        "d_inputs": d_inputs,
        "minibatch_std": False,
        "num_steps": steps,
        "eval_steps": 500,
        "checkpoint_steps": 500,
    }
