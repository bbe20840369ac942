"""Trainings, timed until they are good enough and judged with the clock stopped."""

from collections.abc import Callable
import dataclasses
import gc
import statistics
import time

from absl import flags
import jax

from dlx import tasks
from dlx.runtime import devices, loop

SEEDS = flags.DEFINE_integer("seeds", 5, "How many of each, from 0.", lower_bound=1)
LIMIT = flags.DEFINE_float("limit", 30, "Seconds of training, at the most.")


@dataclasses.dataclass
class Progress:
    """When a training was how good.

    Attributes:
      compile_seconds: Before the first step.
      seconds: Of training.
      points: (seconds of training, how good) of each time it was judged.
    """

    compile_seconds: float = 0.0
    seconds: float = 0.0
    points: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def until(self, good: float) -> float | None:
        """Seconds until it was as good as that; None if it never was."""
        return next((when for when, was in self.points if was >= good), None)


def train(
    config, every: int, judge: Callable[[dict[str, float]], float], good: float
) -> Progress:
    """Trains one of dlx's configs, as its loop does, until it is good.

    Args:
      config: Of the run.
      every: So many steps it is judged; a multiple of its `log_steps`.
      judge: From what it evaluates, {'eval/NAME': number}, to how good that is.
      good: Where it ends; or else at the config's end, or that of --limit.
    """
    task, keys, run = tasks.make(config), loop.Keys(config.seed), Progress()
    jax.clear_caches()
    gc.collect()
    began = time.perf_counter()
    state = devices.init(task, keys.init)
    device_keys = devices.device_keys(keys.steps)
    source = task.batches and task.batches.source(config.log_steps)
    steps = devices.train_steps(task, state, config.log_steps)
    steps = devices.compiled(steps, state, source, device_keys)
    run.compile_seconds = time.perf_counter() - began
    for step in range(config.log_steps, config.num_steps + 1, config.log_steps):
        began = time.perf_counter()
        state, metrics = steps(state, source, device_keys)
        jax.device_get(metrics)
        run.seconds += time.perf_counter() - began
        if step % every == 0:
            numbers = loop.evaluate(task, keys, step, state)
            run.points.append((run.seconds, judge(numbers)))
            if run.points[-1][1] >= good:
                break
        if run.seconds > LIMIT.value:
            break
        source = task.batches and task.batches.source(config.log_steps)
    return run


def perfect(numbers: dict[str, float]) -> float:
    """The share of all starts from which an agent catches the rock."""
    return numbers["eval/perfect_starts"] / numbers["eval/starts"]


def cell(times: list[float | None]) -> str:
    """The median and range of those that are something, and how many are."""
    there = [t for t in times if t is not None]
    if not there:
        return "never"
    text = f"{statistics.median(there):.2f} ({min(there):.2f} ... {max(there):.2f})"
    return text + (f" {len(there)}/{len(times)}" if len(there) < len(times) else "")


def compilations(runs: list[Progress]) -> tuple[float, float]:
    """Seconds of the first run, whose cache was empty, and the others' median."""
    first, *others = [run.compile_seconds for run in runs]
    return first, statistics.median(others or [first])
