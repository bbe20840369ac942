"""Free memory, and checks of a run's needs before anything is allocated."""

from collections.abc import Callable
import contextlib
import pathlib
import resource
from typing import Any

import jax
import numpy as np

from dlx.errors import UserError

_MEMINFO = pathlib.Path("/proc/meminfo")
_STATM = pathlib.Path("/proc/self/statm")
_CGROUP = pathlib.Path("/sys/fs/cgroup")  # a container's limits, version 2


def free(device: jax.Device) -> int | None:
    """Returns the bytes of a device's memory that are free, or None if unknown.

    Accelerators report their limit. On the CPU it is the least of the machine's
    available memory, the container's limit, and the process's limit (`ulimit -v`).
    """
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if device.platform != "cpu":
        return None
    return free_on_host()


def free_on_host() -> int | None:
    """Returns the bytes that this process can still allocate, or None if unknown."""
    bounds = [_available(), _left_in_container(), _left_in_process()]
    return min((bound for bound in bounds if bound is not None), default=None)


def require_on_host(needed: int, reason: str) -> None:
    """Checks that this process can allocate `needed` bytes; otherwise as `require`."""
    _require(needed, free_on_host(), reason)


def require(needed: int, reason: str) -> None:
    """Checks that every local device has `needed` bytes free.

    Args:
      needed: The bytes that each device must hold.
      reason: The arrays that need them, for the message.

    Raises:
      UserError: if a device has fewer; the message has both numbers.
    """
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        needed *= len(devices)  # they share the machine's memory
    _require(needed, free(devices[0]), reason)


def _require(needed, room, reason):
    if room is not None and needed > room:
        raise UserError(
            f"{reason} {size(needed)} of memory, and {size(max(room, 0))} are free"
        )


def require_for_state(state: Any) -> None:
    """Checks that a state fits into memory before it is made.

    Args:
      state: Shapes, dtypes and shardings, as `devices.abstract` returns them.

    Raises:
      UserError: if it does not fit; the message names the largest field.
    """
    bytes_of = {
        field: sum(map(_bytes_on_a_device, jax.tree.leaves(getattr(state, field))))
        for field in state.__dataclass_fields__
    }
    largest = max(bytes_of, key=bytes_of.get)
    require(
        sum(bytes_of.values()),
        f"the state, of which {largest!r} is {size(bytes_of[largest])}, takes",
    )


def require_for_program(program: Any, what: str = "a training step") -> None:
    """Checks that the temporary arrays of a compiled program fit into memory.

    Args:
      program: The program.
      what: What it computes, for the message.

    Raises:
      UserError: if they do not.
    """
    analysis = getattr(program, "memory_analysis", lambda: None)()
    if analysis is not None:
        require(analysis.temp_size_in_bytes, f"the temporary arrays of {what} take")


def run(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Compiles a function and calls it, if its temporary arrays fit into memory.

    Raises:
      UserError: if they do not; `what` names the computation.
    """
    program = jax.jit(function).lower(*arguments).compile()
    require_for_program(program, what)
    return program(*arguments)


def size(number: int) -> str:
    """Writes a number of bytes in the usual unit, for example '22.4 GiB'."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.4g} {unit}"
        number /= 1024
    raise AssertionError


def _bytes_on_a_device(leaf):
    shape = leaf.sharding.shard_shape(leaf.shape)
    # Python's integers, because a product of int64 may overflow.
    number = 1
    for length in shape:
        number *= length
    return number * np.dtype(_plain(leaf.dtype)).itemsize


def _plain(dtype):
    """Replaces random keys by their data, two uint32 numbers."""
    return "u8" if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key) else dtype


def _available():
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def _left_in_container():
    with contextlib.suppress(OSError, ValueError):  # 'max' means no limit
        limit = int((_CGROUP / "memory.max").read_text(encoding="utf-8"))
        return limit - int((_CGROUP / "memory.current").read_text(encoding="utf-8"))
    return None


def _left_in_process():
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    with contextlib.suppress(OSError, ValueError, IndexError):
        return limit - resource.getpagesize() * int(
            _STATM.read_text(encoding="utf-8").split()[0]
        )
    return None
