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

# Each row's arguments of `shipped.get_config`, and the names of its peers in `sb3` and
# in `rejax`. rejax's fastest agent for rocks is PQN.
_ROWS = {
    "DQN 8x8": (("dqn_rocks8",), "DQN 8x8", "PQN 8x8"),
    "DQN 16x16": (("dqn_rocks16",), "DQN 16x16", "PQN 16x16"),
    "PPO 16x16": (("pg_rocks16",), "PPO 16x16", "PQN 16x16"),
    "PQN 16x16": (("pqn_rocks16",), None, "PQN 16x16"),
    "PQN 32x32": (("pqn_rocks32",), None, "PQN 32x32"),
    "PPO CartPole-v1": (("ppo_gymnax", "CartPole-v1"), None, "PPO CartPole-v1"),
    "PPO Catch-bsuite": (("ppo_gymnax", "Catch-bsuite"), None, "PPO Catch-bsuite"),
}
_BEST = {"PPO CartPole-v1": 500.0, "PPO Catch-bsuite": 1.0}  # returns
_ALL = [*_ROWS, "convolutions"]
_CHOSEN = flags.DEFINE_list("rows", _ALL, f"A subset of {', '.join(_ALL)}.")


def main() -> None:
    if unknown := set(_CHOSEN.value) - set(_ALL):
        raise UserError(f"unknown row {min(unknown)!r}; choose from {', '.join(_ALL)}")
    print(timing.machine())
    with tempfile.TemporaryDirectory() as cache:
        compilation_cache.set_cache_dir(cache)
        for name, row in _ROWS.items():
            if name in _CHOSEN.value:
                _compare(name, *row)
        if "convolutions" in _CHOSEN.value:
            _convolutions()


def _compare(name: str, which, sb3_name: str | None, rejax_name: str):
    """Prints a table of one row's training times."""
    score = functools.partial(_score, name)
    trainings = {"dlx": functools.partial(_dlx, shipped.get_config(*which), score)}
    if sb3_name and progress.is_installed("stable_baselines3"):
        for kind in ("tuned", "defaults"):
            trainings[f"SB3, {kind}"] = functools.partial(sb3.train, sb3_name, kind)
    if progress.is_installed("rejax"):
        who = f"rejax, {rejax_name.split()[0]}"
        trainings[who] = functools.partial(rejax.train, rejax_name, score, 1.0)
    runs = {who: [] for who in trainings}
    for seed in range(SEEDS.value):
        for who, train in trainings.items():
            runs[who].append(train(seed))
            gc.collect()
    print(
        f"\n{name}, {SEEDS.value} seeds, at most {LIMIT.value:g} s each: seconds "
        "of training, median (range)"
    )
    print(f"{'':16}{'to 99 %':29}{'to perfect':29}compilation, cache empty, filled")
    for who, done in runs.items():
        _row(who, done)
    if len(runs) > 1:
        for share, goal in ((0.99, "99 %"), (1.0, "perfect")):
            print(f"{'':4}{goal}, dlx / fastest peer: {_ratios(runs, share)}")


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
    print(f"{who:16}{cells[0]:29}{cells[1]:29}{compiled}", flush=True)


def _median(runs, share):
    """The median time to a share; runs that never reach it count as the slowest."""
    times = [run.until(share) for run in runs]
    middle = sorted(np.inf if t is None else t for t in times)[len(times) // 2]
    return None if np.isinf(middle) else middle


def _ratios(runs: dict[str, list[Progress]], share: float) -> str:
    """Ratios of the times to a share: training alone, and with compilation.

    A peer that does not reach the share counts as one that needs --limit, so that the
    ratio is an upper bound.
    """
    if _median(runs["dlx"], share) is None:
        return "dlx did not reach it"
    missed = all(_median(runs[who], share) is None for who in runs if who != "dlx")
    cells = []
    for added in (None, 0, 1):  # nothing, compilation with an empty or a filled cache
        times = {
            who: (_median(done, share) or LIMIT.value)
            + (0.0 if added is None else progress.compilations(done)[added])
            for who, done in runs.items()
        }
        ours = times.pop("dlx")
        bound = "less than " if missed else ""
        cells.append(f"{bound}{ours / min(times.values()):.2f}")
    return f"{cells[0]}; with compilation {cells[1]}, cache filled {cells[2]}"


def _dlx(config, score, seed: int) -> Progress:
    """Trains one of dlx's configs."""
    config.seed = seed
    return progress.train(config, config.log_steps, score, 1.0, progress.BETWEEN)


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
        print(f"convolution as {name:16}{timing.milliseconds(times, 20)}")
