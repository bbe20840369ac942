"""Where a run's time and memory go."""

import contextlib
import pathlib
import resource
import time
from typing import Any

import jax
import jax.numpy as jnp

_SIDE = 2048  # of the matrices whose product is a device's measured peak


def report(
    seconds: dict[str, float], wall: float, flops: float, steps: int, folder: Any
) -> str:
    """A page of text.

    Args:
      seconds: By what they went to: 'compile', 'train', of which 'input', 'evaluate',
        'figures', 'checkpoint'.
      wall: Seconds of everything.
      flops: Floating-point operations of one step on one device, as XLA counts them.
      steps: Taken in the 'train' seconds.
      folder: Where the trace is.
    """
    shares = {
        "compile": seconds.get("compile", 0.0),
        "step": seconds.get("train", 0.0) - seconds.get("input", 0.0),
        "input": seconds.get("input", 0.0),
        "evaluate": seconds.get("evaluate", 0.0),
        "figures": seconds.get("figures", 0.0),
        "checkpoint": seconds.get("checkpoint", 0.0),
    }
    shares["all else"] = wall - sum(shares.values())
    lines = [f"{'seconds':12}{'':>10}  share"]
    for name, spent in shares.items():
        lines.append(f"{name:12}{spent:10.2f}  {100 * spent / wall:5.1f} %")
    rate = flops * steps / max(shares["step"], 1e-9)
    peak = _peak()
    lines += [
        f"{'together':12}{wall:10.2f}",
        "",
        f"device      {jax.devices()[0].device_kind}, {jax.device_count()} of them",
        f"memory      {_memory() / 2**20:.0f} MiB at most, {_where()}",
        f"a step      {1000 * shares['step'] / max(steps, 1):.3g} ms",
        f"model       {flops / 1e6:.4g} MFLOP a step and device, as XLA counts them",
        f"rate        {rate / 1e9:.3g} GFLOP/s a device",
        f"peak        {peak / 1e9:.3g} GFLOP/s, measured here: a float32 product of "
        f"{_SIDE}x{_SIDE} matrices",
        f"of peak     {100 * rate / peak:.1f} %",
        "",
        f"trace       tensorboard --logdir {folder}, or its perfetto_trace.json.gz in "
        "ui.perfetto.dev",
    ]
    return "\n".join(lines) + "\n"


def flops(lowered: Any) -> float:
    """Of a lowered program on one device; 0 where XLA does not say."""
    analysis = lowered.compile().cost_analysis() or {}
    return float(analysis.get("flops", 0.0))


def trace(folder: pathlib.Path | None, wanted: bool):
    """Where it is wanted, traces what runs inside, for TensorBoard and Perfetto."""
    if not wanted:
        return contextlib.nullcontext()
    folder.mkdir(exist_ok=True)
    return jax.profiler.trace(str(folder), create_perfetto_trace=True)


def _peak():
    """Floating-point operations a second, the best of five products."""
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
