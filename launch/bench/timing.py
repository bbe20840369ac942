"""Robust timing on a shared machine: alternating calls, medians, ranges, ratios."""

from collections.abc import Callable
import os
import statistics
import time

from absl import flags
import jax
import numpy as np

from dlx import tasks
from dlx.data import sources
from dlx.runtime import devices, provenance

_REPEATS = flags.DEFINE_integer(
    "repeats",
    9,
    "Timed calls of each candidate; the median is reported.",
    lower_bound=1,
)


def in_turns(calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Times functions that return arrays, in turns, repeatedly.

    Args:
      calls: {name: function}. Each is called once before the clock starts.

    Returns:
      {name: the seconds of each call, sorted}.
    """
    seconds = {name: [] for name in calls}
    for call in calls.values():
        jax.block_until_ready(call())
    for _ in range(_REPEATS.value):
        for name, call in calls.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - began)
    return {name: sorted(times) for name, times in seconds.items()}


def ratio(seconds: dict[str, list[float]]) -> str:
    """dlx's median time divided by that of its fastest peer, or '-' without a peer.

    Below 1, dlx is faster.
    """
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    ours = medians.pop("dlx")
    return f"{ours / min(medians.values()):.2f}" if medians else "-"


def show(
    name: str, seconds: dict[str, list[float]], cell: Callable[[list[float]], str]
) -> None:
    """Prints a line for dlx and for each of its peers, and the ratio of their times.

    Args:
      name: What is trained.
      seconds: {who: seconds}, of `in_turns`; one of them is 'dlx'.
      cell: seconds -> text.
    """
    for who, times in seconds.items():
        print(f"{name:14}{who:22}{cell(times)}")
    print(f"{name:14}{'dlx / fastest peer':22}{ratio(seconds)}", flush=True)


def milliseconds(seconds: list[float], steps: int) -> str:
    """Milliseconds per step as text: the median and, in brackets, the range."""
    low, middle, high = (
        1000 / steps * f(seconds) for f in (min, statistics.median, max)
    )
    return f"{middle:.3g} ({low:.3g} ... {high:.3g})"


def rate(amount: float, seconds: list[float]) -> str:
    """Amount per second as text: the median and, in brackets, the range."""
    median = amount / statistics.median(seconds)
    return f"{median:.2e} ({amount / seconds[-1]:.1e} ... {amount / seconds[0]:.1e})"


def machine() -> str:
    """One line that describes the hardware and its load."""
    name = provenance.machine()
    if jax.default_backend() == "cpu":
        name += f", {provenance.cores()} cores, load {os.getloadavg()[0]:.1f}"
    return f"{name}; {jax.device_count()} device(s); jax {jax.__version__}"


def images(shape: tuple[int, int, int], number: int = 4096) -> sources.Images:
    """Random images of ten classes."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(256, size=(number, *shape), dtype=np.uint8)
    labels = generator.integers(10, size=number, dtype=np.int32)
    return sources.Images(pixels, labels, [str(n) for n in range(10)])


def training(config, shape: tuple[int, int, int], steps: int) -> Callable[[], object]:
    """A function that trains `steps` steps on noise like the loop, with batches."""
    load = sources.load
    sources.load = lambda *_, **__: images(shape)
    try:
        task = tasks.make(config)
    finally:
        sources.load = load
    key = jax.random.key(0)
    state = devices.init(task, key)
    train = devices.train_steps(task, state, steps)
    return carried(train, state, task.batches.source(steps), devices.device_keys(key))


def carried(function: Callable, carry, *rest) -> Callable[[], object]:
    """A function without arguments whose calls pass a carry on.

    Args:
      function: (carry, *rest) -> (carry, anything). It may donate the carry's memory.
      carry: The first call's carry.
      *rest: Further arguments of every call.
    """

    def call():
        nonlocal carry
        carry, _ = function(carry, *rest)
        return carry

    return call
