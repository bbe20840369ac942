"""Reports of a run's time and memory."""

import collections
from collections.abc import Iterator
import contextlib
import pathlib
import resource
import time
from typing import Any

import jax
import jax.numpy as jnp

from dlx.runtime.writers import write_whole

_SIDE = 2048  # side of the matrices whose product measures a device's peak


ACTIVITIES = "start", "compile", "step", "input", "evaluate", "figures", "checkpoint"


class Stopwatch(collections.defaultdict):
    """Seconds by activity: 'train', which includes 'input', and others of ACTIVITIES.

    Attributes:
      began: `time.monotonic()` at the start.
      earlier: The seconds of 'train' that earlier starts of a run took.
    """

    def __init__(self, began: float | None = None):
        """Starts at `began`, by default now."""
        super().__init__(float)
        self.began = time.monotonic() if began is None else began
        self.earlier = 0.0

    @contextlib.contextmanager
    def __call__(self, activity: str) -> Iterator[None]:
        """Adds the seconds of the `with` block to an activity."""
        began = time.monotonic()
        try:
            yield
        finally:
            self[activity] += time.monotonic() - began

    def activities(self) -> dict[str, float]:
        """Seconds of this start by activity: ACTIVITIES and 'other'."""
        spent = {name: self.get(name, 0.0) for name in ACTIVITIES}
        step = self.get("train", 0.0) - self.earlier - spent["input"]
        spent["step"] = max(0.0, step)
        return spent | {"other": max(0.0, self.wall - sum(spent.values()))}

    @property
    def wall(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began


class Profiler:
    """Traces the second call of the training program and writes a report.

    It covers this start of the run, not the starts before a resume.
    """

    def __init__(self, folder: pathlib.Path):
        """Args: folder: The folder to write, made if it is missing."""
        self._folder, self._calls = folder, 0
        self._flops = 0.0

    def begin(self, lowered: Any) -> None:
        """Notes the program of one step."""
        self._flops = flops(lowered)

    def call(self) -> contextlib.AbstractContextManager:
        """Counts a call, and traces it for TensorBoard and Perfetto if it is due."""
        self._calls += 1
        if self._calls != 2:
            return contextlib.nullcontext()
        self._folder.mkdir(exist_ok=True)
        return jax.profiler.trace(str(self._folder), create_perfetto_trace=True)

    def write(self, seconds: Stopwatch, log_steps: int) -> None:
        """Writes report.txt."""
        steps = self._calls * log_steps
        text = report(seconds, self._flops, steps, self._folder)
        self._folder.mkdir(exist_ok=True)
        write_whole(self._folder / "report.txt", text)


def report(seconds: Stopwatch, flops: float, steps: int, folder: Any) -> str:
    """Writes the profile report.

    Args:
      seconds: Seconds by activity.
      flops: Floating-point operations of one step on one device, as XLA counts them.
      steps: The number of steps that this start trained.
      folder: The folder that holds the trace.
    """
    shares, wall = seconds.activities(), seconds.wall
    lines = [f"{'seconds':12}{'':>10}  share"]
    for name, spent in shares.items():
        lines.append(f"{name:12}{spent:10.2f}  {100 * spent / wall:5.1f} %")
    rate = flops * steps / max(shares["step"], 1e-9)
    peak = _peak()
    lines += [
        f"{'total':12}{wall:10.2f}",
        "",
        f"device      {jax.devices()[0].device_kind}, {jax.device_count()} devices",
        f"memory      {_memory() / 2**20:.0f} MiB peak, {_where()}",
        f"a step      {1000 * shares['step'] / max(steps, 1):.3g} ms",
        f"model       {flops / 1e6:.4g} MFLOP per step and device, as XLA counts them",
        f"rate        {rate / 1e9:.3g} GFLOP/s per device",
        f"peak        {peak / 1e9:.3g} GFLOP/s, measured here: a float32 product of "
        f"{_SIDE}x{_SIDE} matrices",
        f"of peak     {100 * rate / peak:.1f} %",
        "",
        f"trace       tensorboard --logdir {folder}, or its perfetto_trace.json.gz in "
        "ui.perfetto.dev",
    ]
    return "\n".join(lines) + "\n"


def flops(lowered: Any) -> float:
    """FLOPs of a lowered program on one device; 0 if XLA gives no estimate."""
    analysis = lowered.compile().cost_analysis() or {}
    return float(analysis.get("flops", 0.0))


def _peak():
    """Floating-point operations per second in the best of five matrix products."""
    product = jax.jit(lambda x: x @ x)
    x = jnp.ones((_SIDE, _SIDE))
    best = float("inf")
    product(x).block_until_ready()
    for _ in range(5):
        began = time.perf_counter()
        product(x).block_until_ready()
        best = min(best, time.perf_counter() - began)
    return 2 * _SIDE**3 / best


def _memory():
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _where():
    on_device = "peak_bytes_in_use" in (jax.local_devices()[0].memory_stats() or {})
    return "on the device" if on_device else "of the process"
