"""Memory bandwidth of a device: as measured, and as its vendor states it."""

import re
import statistics

import jax
import jax.numpy as jnp

from dlx.runtime import memory

from . import timing

# Words of JAX's name of a device, and GB/s of the vendor's data sheet. The first row
# whose words all occur counts.
_VENDOR = (
    ({"H200"}, 4800),
    ({"H100", "PCIe"}, 2000),
    ({"H100", "NVL"}, 3900),
    ({"H100"}, 3350),
    ({"A100", "80GB", "PCIe"}, 1935),
    ({"A100", "80GB"}, 2039),
    ({"A100", "40GB"}, 1555),
    ({"V100"}, 900),
    ({"L40S"}, 864),
    ({"L4"}, 300),
)
GPU_BYTES, CPU_BYTES = 4 * 2**30, 512 * 2**20  # of the array that is copied
_COPIES = 4  # queued, so that their sum is much longer than a call's overhead


def vendor(device_kind: str) -> float | None:
    """Bytes per second that the vendor states for a device; None if it is unknown.

    A part of a device, as NVIDIA's MIG makes it, is unknown.
    """
    words = set(re.split(r"[\s-]+", device_kind))
    if "MIG" in words:
        return None
    return next((1e9 * rate for known, rate in _VENDOR if known <= words), None)


def measured() -> tuple[float, int]:
    """Copies a large array into another one, on one device and without a loop.

    The copied array has 4 GiB on a GPU and 512 MiB on a CPU, far more than caches hold,
    or a quarter of the free memory if that is less. A CPU adds 1 to it, because XLA
    divides that over the cores and does not divide a copy.

    Returns:
      Bytes read and written per second, and the bytes of the array.
    """
    device = jax.local_devices()[0]
    is_cpu = device.platform == "cpu"
    size = CPU_BYTES if is_cpu else GPU_BYTES
    size = min(size, (memory.free(device) or 4 * size) // 4)
    change = (lambda x: x + 1) if is_cpu else jnp.copy
    # The result has the second array's memory; a fresh one would have to be mapped.
    copy = jax.jit(lambda x, _: change(x), donate_argnums=1, keep_unused=True)
    x, y = (jnp.full(size // 4, n, jnp.uint32, device=device) for n in (1, 2))

    def copies():
        nonlocal y
        for _ in range(_COPIES):
            y = copy(x, y)
        return y

    seconds = statistics.median(timing.in_turns({"copy": copies})["copy"])
    return 2 * x.nbytes * _COPIES / seconds, x.nbytes


def describe(rate: float, size: int) -> str:
    """One line with the measured bandwidth and, if it is known, the vendor's."""
    text = (
        f"memory: {rate / 1e9:,.1f} GB/s read and written, copying {memory.size(size)}"
    )
    stated = vendor(jax.devices()[0].device_kind)
    if stated:
        text += f"; the vendor states {stated / 1e9:,.0f} ({rate / stated:.0%} of it)"
    return text
