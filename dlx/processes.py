"""Several processes that train as one, each on devices of its own.

JAX's own coordination service connects them, and notices where one is dead or hangs.
"""

import contextlib
import ctypes
import hashlib
import os
import signal
import sys

import jax
from jax.experimental import multihost_utils
import numpy as np

from dlx.errors import UserError

LOST = 75  # sysexits.h's EX_TEMPFAIL: start it again


def connect(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    timeout: int,
) -> None:
    """Makes this process one of several; before anything else asks JAX for devices.

    From then on it ends, with a line and the code LOST, where another is lost.

    Args:
      coordinator: ADDRESS:PORT of the first process; None for what Slurm, Open MPI, a
        TPU pod or Kubernetes says, likewise the next two.
      num_processes: How many there are.
      process_id: Which of them this is, from 0.
      timeout: Seconds without a sign of life after which a process is lost.

    Raises:
      UserError: where they do not come together.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            heartbeat_timeout_seconds=timeout,
            initialization_timeout=max(timeout, 60),
        )
    except (ValueError, RuntimeError) as error:
        raise UserError(f"no connection to the other processes: {error}") from None
    _say_why_it_aborts(jax.process_index())


def _say_why_it_aborts(process):
    """JAX ends a process whose peers are gone by abort(), in a thread of its own.

    It may do so when it has already put its devices away, at the process's end: to ask
    it anything then, even which process this is, would wait for the others.
    """

    def handler(number):
        del number
        leave(process, "JAX ended it, see above")

    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    _say_why_it_aborts.kept = kind(handler)  # or it would be collected
    ctypes.CDLL(None).signal(signal.SIGABRT, _say_why_it_aborts.kept)


def leave(process: int, why: str) -> None:
    """Ends this process at once: to wait for one that is lost would take for ever."""
    line = f"process {process}: another process is lost ({why})\n"
    sys.stdout.flush()
    os.write(2, line.encode())
    os._exit(LOST)


@contextlib.contextmanager
def together():
    """Leaves where what runs inside fails for want of another process.

    Before anything around it closes, which would wait for that process.
    """
    try:
        yield
    except Exception as error:
        lost = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
        if jax.process_count() > 1 and lost:
            leave(jax.process_index(), str(error).splitlines()[0][:100])
        raise


def first() -> bool:
    """Whether this is the process that writes for all of them."""
    return jax.process_index() == 0


def anywhere(flag: bool) -> bool:
    """Whether it is set in any process; all have to ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def gathered(digest: str) -> str:
    """A digest of every process's digest, in order; of one alone its own."""
    if jax.process_count() == 1:
        return digest
    own = np.frombuffer(bytes.fromhex(digest), np.uint8)
    return hashlib.sha256(multihost_utils.process_allgather(own).tobytes()).hexdigest()


def require_same(what: str, digest: str) -> None:
    """Raises where other processes have another digest."""
    if jax.process_count() == 1:
        return
    own = np.frombuffer(bytes.fromhex(digest), np.uint8)
    different = np.any(multihost_utils.process_allgather(own) != own, axis=1)
    if different.any():
        which = ", ".join(map(str, np.flatnonzero(different)))
        raise RuntimeError(f"{what} differ from those of process {which}")
