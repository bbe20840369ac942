"""PQN and PPO on MinAtar's games beside rejax's, for equally many steps.

    python -m launch.bench minatar --seeds=1
    python -m launch.bench minatar --seeds=3 "--agents=PQN Breakout,PPO Freeway"

The agents of a row train in turns, one seed each, for all 10.24 million steps of the
config. Then the greedy policy of each plays 100 episodes.
"""

from collections.abc import Callable
import gc
import math
import statistics

from absl import flags

from dlx.errors import UserError

from .. import shipped
from . import progress, rejax, timing
from .progress import SEEDS, Progress

_ROWS = [
    f"{algorithm} {game}"
    for algorithm in ("PQN", "PPO")
    for game in ("Breakout", "Asterix", "Freeway", "SpaceInvaders")
]
_CHOSEN = flags.DEFINE_list("agents", _ROWS, f"A subset of {', '.join(_ROWS)}.")


def main() -> None:
    if unknown := set(_CHOSEN.value) - set(_ROWS):
        raise UserError(
            f"unknown agent {min(unknown)!r}; choose from {', '.join(_ROWS)}"
        )
    print(timing.machine())
    trainings = {"dlx": _dlx}
    if progress.is_installed("rejax"):
        trainings["rejax"] = _rejax
    print(
        f"\n{SEEDS.value} seeds, median (range)\n{'':20}{'':8}"
        f"{'mean return':30}seconds of training"
    )
    for name in _CHOSEN.value:
        _compare(name, trainings)


def _compare(name: str, trainings: dict[str, Callable[[str, int], Progress]]):
    """Prints the lines of a row."""
    runs = {who: [] for who in trainings}
    for seed in range(SEEDS.value):
        for who, train in trainings.items():
            runs[who].append(train(name, seed))
            gc.collect()
    middle = {}
    for who, done in runs.items():
        returns = [run.points[-1][1] for run in done]
        seconds = [run.seconds for run in done]
        middle[who] = statistics.median(seconds)
        print(
            f"{name:20}{who:8}"
            f"{progress.with_range(statistics.median(returns), returns):30}"
            f"{progress.with_range(middle[who], seconds)}",
            flush=True,
        )
    if len(runs) > 1:
        ratio = middle["dlx"] / middle["rejax"]
        print(f"{'':4}seconds, dlx / rejax: {ratio:.2f}", flush=True)


def _score(numbers: dict[str, float]) -> float:
    return numbers["eval/episode_return"]


# Neither is evaluated before its last step, and both train for all steps.
_WHOLE = {"between": math.inf, "limit": math.inf}


def _dlx(name: str, seed: int) -> Progress:
    algorithm, game = name.lower().split()[0], name.split()[1]
    config = shipped.get_config(f"{algorithm}_minatar", game)
    config.seed = seed
    return progress.train(config, config.log_steps, _score, math.inf, **_WHOLE)


def _rejax(name: str, seed: int) -> Progress:
    return rejax.train(name, _score, math.inf, seed, **_WHOLE)
