"""Trainings timed until they reach a goal; the clock stops during evaluations."""

from collections.abc import Callable
import dataclasses
import gc
import importlib.util
import statistics
import time

from absl import flags
import jax

from dlx import paths, streams, tasks
from dlx.runtime import devices
from dlx.runtime.evaluate import evaluate

SEEDS = flags.DEFINE_integer("seeds", 5, "The number of seeds, from 0.", lower_bound=1)
# Seconds of training between two evaluations that are compared with a peer's, for both.
# Steps of Stable-Baselines3 are short, and it is evaluated after the first that is due.
BETWEEN = 0.1
DATA_DIR = flags.DEFINE_string("data_dir", None, "The configs' data_dir.")
MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "The configs' manual_dir.")
LIMIT = flags.DEFINE_float("limit", 30, "The longest training in seconds.")


@dataclasses.dataclass
class Progress:
    """The scores of a training over time.

    Attributes:
      compile_seconds: Seconds before the first step.
      seconds: Seconds of training.
      steps: Steps of training.
      points: (seconds of training, score) of each evaluation.
    """

    compile_seconds: float = 0.0
    seconds: float = 0.0
    steps: int = 0
    points: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def is_due(self, between: float = BETWEEN) -> bool:
        """Whether it has trained for `between` seconds since the last evaluation."""
        last = self.points[-1][0] if self.points else 0.0
        return self.seconds - last >= between

    def until(self, goal: float) -> float | None:
        """Seconds until the score reached a goal; None if it never did."""
        return next((when for when, score in self.points if score >= goal), None)


def train(
    config,
    every: int,
    score: Callable[[dict[str, float]], float],
    goal: float,
    between: float = 0.0,
    limit: float | None = None,
) -> Progress:
    """Trains one of dlx's configs like its loop, until it reaches a goal.

    Args:
      config: The run's config.
      every: Steps from one evaluation to the next; a multiple of `config.log_steps`.
      score: {'eval/NAME': number} -> score.
      goal: The score at which training ends. It also ends after the config's steps, or
        after `limit`.
      between: The fewest seconds of training from one evaluation to the next. The
        state after the last step is evaluated in any case.
      limit: The longest training in seconds; None is that of --limit.
    """
    limit = LIMIT.value if limit is None else limit
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
        run.steps = step
        is_last = step + config.log_steps > config.num_steps
        if step % every == 0 and (is_last or run.is_due(between)):
            numbers = evaluate(task, keys, step, state)
            run.points.append((run.seconds, score(numbers)))
            if run.points[-1][1] >= goal:
                break
        if run.seconds > limit:
            break
        source = task.batches and task.batches.source(config.log_steps)
    return run


def with_data(config):
    """Sets a config's folders of data, if it reads data, to those of the flags."""
    for name, flag in (("data_dir", DATA_DIR), ("manual_dir", MANUAL_DIR)):
        if name in config and flag.value:
            config[name] = flag.value
    paths.resolve(config)
    return config


def is_installed(library: str) -> bool:
    """Whether a peer is installed; prints a line if it is not."""
    found = importlib.util.find_spec(library) is not None
    if not found:
        print(f"{library} is not installed and not compared: pip install '.[bench]'")
    return found


def accuracy(numbers: dict[str, float]) -> float:
    """The share of images that are classified correctly."""
    return numbers["eval/accuracy"] / 100


def perfect(numbers: dict[str, float]) -> float:
    """The share of start positions from which an agent catches the rock."""
    return numbers["eval/perfect_starts"] / numbers["eval/starts"]


def cell(times: list[float | None]) -> str:
    """The median and range of times that are not None, and their number."""
    finite = [t for t in times if t is not None]
    if not finite:
        return "never"
    text = with_range(statistics.median(finite), finite)
    return text + (f" {len(finite)}/{len(times)}" if len(finite) < len(times) else "")


def with_range(middle: float, numbers: list[float]) -> str:
    """The median or mean of numbers as text, with their range in brackets."""
    return f"{middle:.2f} ({min(numbers):.2f} ... {max(numbers):.2f})"


def compilations(runs: list[Progress]) -> tuple[float, float]:
    """Compilation seconds of the first run (empty cache), and the others' median."""
    first, *later = [run.compile_seconds for run in runs]
    return first, statistics.median(later or [first])
