"""Agents on rocks against Stable-Baselines3 on the same game.

    python -m launch.bench rl

Both are evaluated in the same way: the greedy policy from every start position, with
the clock stopped. Programs that dlx compiles are cached in a temporary folder: empty
for the first seed, filled for the others, like at the second start of a program.
"""

from collections.abc import Callable
import functools
import gc
import statistics
import tempfile

from flax import linen as nn
import jax
from jax.experimental.compilation_cache import compilation_cache
import numpy as np

from configs import dqn_rocks8, dqn_rocks16, pg_rocks16
from dlx import tasks
from dlx.models import cnn
from dlx.runtime import devices
from launch.bench import progress, sb3, timing
from launch.bench.progress import LIMIT, SEEDS, Progress

_CONFIGS = {"DQN 8x8": dqn_rocks8, "DQN 16x16": dqn_rocks16, "PPO 16x16": pg_rocks16}


def main() -> None:
    try:
        import stable_baselines3
    except ImportError:
        print(
            "Stable-Baselines3 is not installed and not compared: "
            "pip install '.[bench]'"
        )
        stable_baselines3 = None
    with tempfile.TemporaryDirectory() as cache:
        compilation_cache.set_cache_dir(cache)
        _compare(stable_baselines3 is not None)
        _convolutions()


def _compare(with_sb3: bool):
    """Prints a table of each agent's training times."""
    print(timing.machine())
    for name in _CONFIGS:
        print(
            f"\n{name}, {SEEDS.value} seeds, at most {LIMIT.value:g} s each: seconds "
            "of training, median (range)"
        )
        print(f"{'':16}{'to 99 %':26}{'to perfect':26}compilation, cache empty, filled")
        dlx_runs = _row("dlx", functools.partial(_dlx, _CONFIGS[name].get_config()))
        for kind in ("tuned", "defaults") if with_sb3 else ():
            train = functools.partial(sb3.train, name, kind)
            _ratios(dlx_runs, _row(f"SB3, {kind}", train))


def _row(who: str, train: Callable[[int], Progress]) -> list[Progress]:
    """Trains every seed and prints a row of the table."""
    done = []
    for seed in range(SEEDS.value):
        done.append(train(seed))
        gc.collect()
    cells = [progress.cell([run.until(share) for run in done]) for share in (0.99, 1.0)]
    compiled = ", ".join(f"{seconds:.1f}" for seconds in progress.compilations(done))
    compiled = compiled if done[0].compile_seconds else "-"
    print(f"{who:16}{cells[0]:26}{cells[1]:26}{compiled}", flush=True)
    return done


def _median(runs, share):
    """The median time to a share; runs that never reach it count as the slowest."""
    times = [run.until(share) for run in runs]
    middle = sorted(np.inf if t is None else t for t in times)[len(times) // 2]
    return None if np.isinf(middle) else middle


def _ratios(dlx_runs, sb3_runs):
    """Prints how many times longer than dlx's the other trainings took."""
    cold, warm = progress.compilations(dlx_runs)
    for share, name in ((0.99, "99 %"), (1.0, "perfect")):
        a, b = _median(dlx_runs, share), _median(sb3_runs, share)
        if a is None:
            print(f"{'':4}{name}: dlx did not reach it")
            continue
        more = "" if b is not None else "more than "
        b = LIMIT.value if b is None else b
        print(
            f"{'':4}{name}: {more}{b / a:.1f} times dlx; with compilation "
            f"{more}{b / (a + cold):.1f}, cache filled {more}{b / (a + warm):.1f}",
            flush=True,
        )


def _dlx(config, seed: int) -> Progress:
    """Trains one of dlx's configs."""
    config.seed = seed
    return progress.train(config, config.log_steps, progress.perfect, 1.0)


def _convolutions():
    """Times a training step with convolutions as matrix products, and as primitives."""
    config = dqn_rocks16.get_config()
    config.network = "cnn"
    calls, original = {}, cnn.Conv
    for name, module in (("matrix product", original), ("primitive", nn.Conv)):
        cnn.Conv = module
        task, key = tasks.make(config), jax.random.key(0)
        state = devices.init(task, key)
        train = devices.train_steps(task, state, 20)
        calls[name] = timing.carried(train, state, None, devices.device_keys(key))
        jax.block_until_ready(calls[name]())
    cnn.Conv = original
    seconds = timing.in_turns(calls)
    print("\na training step of dqn_rocks16 with --config.network=cnn, milliseconds")
    for name, times in seconds.items():
        low, middle, high = (
            1000 * f(times) / 20 for f in (min, statistics.median, max)
        )
        print(f"convolution as {name:16}{middle:.2f} ({low:.2f} ... {high:.2f})")
