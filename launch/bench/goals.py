"""Seconds of training to perfect play, 99 % on MNIST and 94 % on CIFAR-10.

    python -m launch.bench goals

Compiled programs are cached in a temporary folder: empty for the first seed, filled for
the others, like at the second start of a program.
"""

import statistics
import tempfile

from absl import flags
import jax
from jax.experimental.compilation_cache import compilation_cache

from dlx.errors import UserError

from .. import shipped
from . import timing
from .progress import (
    LIMIT,
    SEEDS,
    accuracy,
    cell,
    compilations,
    perfect,
    train,
    with_data,
    with_range,
)

_AGENTS = {
    f"{algorithm}_rocks{size}:{network}": (f"{algorithm}_rocks{size}", network)
    for algorithm in ("pg", "dqn")
    for size in (8, 16, 32)
    for network in ("mlp", "cnn")
}
_ALL = [*_AGENTS, "mnist", "cifar10"]
_GOALS = flags.DEFINE_list("goals", _ALL, f"A subset of {', '.join(_ALL)}.")


def main() -> None:
    if unknown := set(_GOALS.value) - set(_ALL):
        raise UserError(f"unknown goal {min(unknown)!r}; choose from {', '.join(_ALL)}")
    print(timing.machine())
    print(
        f"\nseconds of training, at most {LIMIT.value:g}, median (range) of "
        f"{SEEDS.value} seeds\n{'':20}{'goal':8}{'':30}{'final, %':30}"
        "compilation, cache empty, filled"
    )
    with tempfile.TemporaryDirectory() as cache:
        compilation_cache.set_cache_dir(cache)
        for name, (file, network) in _AGENTS.items():
            config = shipped.get_config(file, network)
            _row(name, config, config.log_steps, perfect, 1.0)
        config = with_data(shipped.get_config("cnn_mnist_fast"))
        _row("mnist", config, config.eval_steps, accuracy, 0.99)
        config = with_data(shipped.get_config("airbench_cifar10"))
        if jax.default_backend() != "cpu":
            config.dtype = "bfloat16"
        _row("cifar10", config, config.num_steps, accuracy, 0.94)


def _row(name, config, every, score, goal):
    if name not in _GOALS.value:
        return
    runs = []
    for seed in range(SEEDS.value):
        config.seed = seed
        runs.append(train(config, every, score, goal))
    seconds = cell([run.until(goal) for run in runs])
    last = [100 * run.points[-1][1] for run in runs if run.points]
    if last:
        last = with_range(statistics.mean(last), last)
    compiled = ", ".join(f"{duration:.1f}" for duration in compilations(runs))
    print(
        f"{name:20}{f'{goal:.0%}':8}{seconds:30}{last or '-':30}{compiled}", flush=True
    )
