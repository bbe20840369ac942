"""Trainings timed until they reach a goal; the clock stops during evaluations."""

from collections.abc import Callable
import dataclasses
import gc
import statistics
import time

from absl import flags
import jax

from dlx import streams, tasks
from dlx.runtime import devices
from dlx.runtime.evaluate import evaluate

SEEDS = flags.DEFINE_integer("seeds", 5, "The number of seeds, from 0.", lower_bound=1)
LIMIT = flags.DEFINE_float("limit", 30, "The longest training in seconds.")


@dataclasses.dataclass
class Progress:
    """The scores of a training over time.

    Attributes:
      compile_seconds: Seconds before the first step.
      seconds: Seconds of training.
      points: (seconds of training, score) of each evaluation.
    """

    compile_seconds: float = 0.0
    seconds: float = 0.0
    points: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def until(self, goal: float) -> float | None:
        """Seconds until the score reached a goal; None if it never did."""
        return next((when for when, score in self.points if score >= goal), None)


def train(
    config, every: int, score: Callable[[dict[str, float]], float], goal: float
) -> Progress:
    """Trains one of dlx's configs like its loop, until it reaches a goal.

    Args:
      config: The run's config.
      every: Steps from one evaluation to the next; a multiple of `config.log_steps`.
      score: {'eval/NAME': number} -> score.
      goal: The score at which training ends. It also ends after the config's steps, or
        the seconds of --limit.
    """
    task, keys, run = tasks.make(config), streams.Keys(config.seed), Progress()
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
            numbers = evaluate(task, keys, step, state)
            run.points.append((run.seconds, score(numbers)))
            if run.points[-1][1] >= goal:
                break
        if run.seconds > LIMIT.value:
            break
        source = task.batches and task.batches.source(config.log_steps)
    return run


def perfect(numbers: dict[str, float]) -> float:
    """The share of start positions from which an agent catches the rock."""
    return numbers["eval/perfect_starts"] / numbers["eval/starts"]


def cell(times: list[float | None]) -> str:
    """The median and range of times that are not None, and their number."""
    finite = [t for t in times if t is not None]
    if not finite:
        return "never"
    text = f"{statistics.median(finite):.2f} ({min(finite):.2f} ... {max(finite):.2f})"
    return text + (f" {len(finite)}/{len(times)}" if len(finite) < len(times) else "")


def compilations(runs: list[Progress]) -> tuple[float, float]:
    """Compilation seconds of the first run (empty cache), and the others' median."""
    first, *later = [run.compile_seconds for run in runs]
    return first, statistics.median(later or [first])
