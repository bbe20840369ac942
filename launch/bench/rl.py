"""Agents against Stable-Baselines3's and rejax's on the same games.

    python -m launch.bench rl
    python -m launch.bench rl "--rows=PQN 16x16"

All are evaluated in the same way, with the clock stopped: the greedy policy plays from
every start of rocks, or 100 episodes of other games. The agents of a row train in
turns, one seed each.
Programs that dlx compiles are cached in a temporary folder: empty for the first seed,
filled for the others, like at the second start of a program.
"""

import functools
import gc
import importlib.util
import statistics
import tempfile

from absl import flags
from flax import linen as nn
import jax
from jax.experimental.compilation_cache import compilation_cache
import numpy as np

from dlx import tasks
from dlx.errors import UserError
from dlx.models import cnn
from dlx.runtime import devices

from .. import shipped
from . import progress, rejax, sb3, timing
from .progress import LIMIT, SEEDS, Progress

_SB3 = {  # the arguments of `shipped.get_config`
    "DQN 8x8": ("dqn_rocks8",),
    "DQN 16x16": ("dqn_rocks16",),
    "PPO 16x16": ("pg_rocks16",),
}
_REJAX = {
    "PQN 16x16": ("pqn_rocks16",),
    "PQN 32x32": ("pqn_rocks32",),
    "PPO CartPole-v1": ("ppo_gymnax", "CartPole-v1"),
    "PPO Catch-bsuite": ("ppo_gymnax", "Catch-bsuite"),
}
_BEST = {"PPO CartPole-v1": 500.0, "PPO Catch-bsuite": 1.0}  # returns
_ALL = [*_SB3, *_REJAX, "convolutions"]
_ROWS = flags.DEFINE_list("rows", _ALL, f"A subset of {', '.join(_ALL)}.")


def main() -> None:
    if unknown := set(_ROWS.value) - set(_ALL):
        raise UserError(f"unknown row {min(unknown)!r}; choose from {', '.join(_ALL)}")
    print(timing.machine())
    with tempfile.TemporaryDirectory() as cache:
        compilation_cache.set_cache_dir(cache)
        for name, which in (_SB3 | _REJAX).items():
            if name in _ROWS.value:
                _compare(name, shipped.get_config(*which))
        if "convolutions" in _ROWS.value:
            _convolutions()


def _compare(name: str, config):
    """Prints a table of one row's training times."""
    score = functools.partial(_score, name)
    trainings = {"dlx": functools.partial(_dlx, config, score)}
    if name in _SB3 and _is_installed("stable_baselines3"):
        for kind in ("tuned", "defaults"):
            trainings[f"SB3, {kind}"] = functools.partial(sb3.train, name, kind)
    if name in _REJAX and _is_installed("rejax"):
        trainings["rejax"] = functools.partial(rejax.train, name, score, 1.0)
    runs = {who: [] for who in trainings}
    for seed in range(SEEDS.value):
        for who, train in trainings.items():
            runs[who].append(train(seed))
            gc.collect()
    print(
        f"\n{name}, {SEEDS.value} seeds, at most {LIMIT.value:g} s each: seconds "
        "of training, median (range)"
    )
    print(f"{'':16}{'to 99 %':26}{'to perfect':26}compilation, cache empty, filled")
    for who, done in runs.items():
        _row(who, done)
        if who != "dlx":
            _ratios(runs["dlx"], done)


def _is_installed(library: str) -> bool:
    """Whether a peer is installed; prints a line if it is not."""
    found = importlib.util.find_spec(library) is not None
    if not found:
        print(f"{library} is not installed and not compared: pip install '.[bench]'")
    return found


def _score(name: str, numbers: dict[str, float]) -> float:
    """The share of starts, or of the best return, that an agent reaches."""
    if name in _BEST:
        return numbers["eval/episode_return"] / _BEST[name]
    return progress.perfect(numbers)


def _row(who: str, done: list[Progress]):
    """Prints a row of the table."""
    cells = [progress.cell([run.until(share) for run in done]) for share in (0.99, 1.0)]
    compiled = ", ".join(f"{seconds:.1f}" for seconds in progress.compilations(done))
    compiled = compiled if done[0].compile_seconds else "-"
    print(f"{who:16}{cells[0]:26}{cells[1]:26}{compiled}", flush=True)


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


def _dlx(config, score, seed: int) -> Progress:
    """Trains one of dlx's configs."""
    config.seed = seed
    return progress.train(config, config.log_steps, score, 1.0)


def _convolutions():
    """Times a training step with convolutions as matrix products, and as primitives."""
    config = shipped.get_config("dqn_rocks16")
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
