"""Several processes that train as one, each on its own devices.

JAX's coordination service connects them and notices if one is dead or hangs. If a
process fails by itself, it leaves a verdict with that service, and all others end with
the same code within a second.
"""

import atexit
import contextlib
import ctypes
import hashlib
import itertools
import json
import os
import pathlib
import re
import signal
import sys
import threading
import time
import traceback
from typing import NoReturn

import jax
from jax._src import distributed  # its key-value store, which has no public name
from jax.experimental import multihost_utils
import numpy as np

from dlx import errors
from dlx.errors import UserError

LOST = 75  # sysexits.h's EX_TEMPFAIL: a restart may help

_state = distributed.global_state
_ends = itertools.count()
_VERDICT = "dlx/verdict"
_POLL_SECONDS = 0.5
_LAST_MS = 10_000
_LONGEST_MS = 7 * 24 * 3_600_000  # the others wait while the first process draws
# Errors of collectives (Gloo, NCCL) and of the coordination service, JAX 0.10 to 0.12.
_LOST_PEER = re.compile(
    "Gloo|NCCL.*(remote process|aborted)|heartbeat|coordination service"
    "|[Bb]arrier (failed|timed out)|timed out with key"
)


def connect(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    timeout: int,
) -> None:
    """Connects this process to the others, before anything asks JAX for devices.

    From then on, the process ends with a line and the code LOST if another is lost.

    Args:
      coordinator: ADDRESS:PORT of the first process. For this and the next two
        arguments, None takes the value from Slurm, Open MPI, a TPU pod or Kubernetes.
      num_processes: The number of processes.
      process_id: The number of this process, from 0.
      timeout: Seconds without a heartbeat after which a process counts as lost.

    Raises:
      UserError: if the processes do not connect.
    """
    before = _threads()
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
    _end_where_jax_aborts(_state.process_id, _threads() - before)
    watch = threading.Thread(
        target=_watch, args=(_state.process_id, _state.client), daemon=True
    )
    watch.start()


def _watch(process, client):
    """Ends this process as soon as another one has left a verdict."""
    while True:
        time.sleep(_POLL_SECONDS)
        if (verdict := _verdict(client)) and verdict[0] != process:
            _follow(process, client, *verdict)


def _verdict(client):
    """Returns (process, code, line) of the verdict, or None if there is no verdict."""
    try:
        return json.loads(client.key_value_try_get(_VERDICT))
    except (RuntimeError, ValueError):  # no verdict, or no service
        return None


def _follow(process, client, other, code, line):
    os.write(2, f"process {process}: process {other} has ended: {line}\n".encode())
    _leave(process, client, code)


def end(code: int, line: str) -> NoReturn:
    """Ends all processes with a code, and this one at once, without cleanup."""
    client, process = _state.client, _state.process_id
    try:
        client.key_value_set(_VERDICT, json.dumps([process, code, line]))
    except (RuntimeError, ValueError):  # another process was first
        code = (_verdict(client) or (0, code))[1]
    _leave(process, client, code)


def _leave(process, client, code):
    """Ends this process; the first, which hosts the service, ends last."""
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(RuntimeError, ValueError):
        client.key_value_set(f"dlx/gone/{process}", "", allow_overwrite=True)
        if process == 0:
            for other in range(1, _state.num_processes):
                client.blocking_key_value_get(f"dlx/gone/{other}", _LAST_MS)
            time.sleep(_POLL_SECONDS)  # their last requests are answered
    os._exit(code)


def _end_as_lost(process, why):
    line = f"process {process}: another process is lost ({why})\n"
    sys.stdout.flush()
    os.write(2, line.encode())
    os._exit(LOST)


def _is_lost(error):
    """Whether a JAX error only means that another process is lost."""
    text = str(error)
    return bool(_LOST_PEER.search(text)) and "RESOURCE_EXHAUSTED" not in text


def _end_where_jax_aborts(process, threads):
    """Makes an abort() of JAX's coordination client end with a line and LOST.

    That client aborts a process whose peers are gone, from one of its own threads or,
    at the process's end, from the main thread. Other aborts are left alone. The handler
    must not call JAX, which would wait for the other processes.

    Args:
      process: The number of this process.
      threads: The numbers of the client's threads.
    """

    ending = []
    atexit.register(ending.append, True)  # this runs before JAX disconnects

    def handler(number):
        del number
        thread = threading.get_native_id()
        name = (
            pathlib.Path(f"/proc/self/task/{thread}/comm")
            .read_text(encoding="utf-8")
            .strip()
        )
        if ending or str(thread) in threads or name == "event_engine":  # gRPC's
            _end_as_lost(process, "JAX ended it, see above")

    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    _end_where_jax_aborts.kept = kind(handler)  # keeps it from being collected
    ctypes.CDLL(None).signal(signal.SIGABRT, _end_where_jax_aborts.kept)


def _threads():
    try:
        return set(os.listdir("/proc/self/task"))
    except OSError:  # not Linux
        return set()


@contextlib.contextmanager
def together():
    """Ends all processes with one code if one fails; otherwise they leave together.

    A process that fails prints the reason and informs the others, which end with its
    code. If it fails because another process is lost, its code is LOST. It ends before
    any cleanup that would wait for the others. With one process this does nothing.
    """
    if _state.client is None:
        yield
        return
    process, client = _state.process_id, _state.client
    try:
        yield
        name = f"dlx/end/{next(_ends)}"
        client.wait_at_barrier(name, timeout_in_ms=_LONGEST_MS)
    except SystemExit as error:
        end(int(error.code or 0), f"code {error.code}")
    except Exception as error:
        if _is_lost(error):
            if verdict := _verdict(client):
                _follow(process, client, *verdict)
            _end_as_lost(process, str(error).splitlines()[0][:100])
        if known := errors.exit_status(error):
            os.write(2, f"process {process}: {known[1]}\n".encode())
        else:
            traceback.print_exc()
            known = 1, f"{type(error).__name__}: {error}"
        end(known[0], " ".join(known[1].split())[:500])


def first() -> bool:
    """Whether this is the process that writes for all."""
    return jax.process_index() == 0


def anywhere(flag: bool) -> bool:
    """Whether the flag is set in any process. All processes must call this."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def gathered(digest: str) -> str:
    """Combines the digests of all processes in order; a single digest is unchanged."""
    if jax.process_count() == 1:
        return digest
    own = np.frombuffer(bytes.fromhex(digest), np.uint8)
    return hashlib.sha256(multihost_utils.process_allgather(own).tobytes()).hexdigest()


def require_same(what: str, digest: str, error: type[Exception] = RuntimeError) -> None:
    """Raises the error if other processes have another digest, in hex."""
    if jax.process_count() == 1:
        return
    own = np.frombuffer(bytes.fromhex(digest), np.uint8)
    different = np.any(multihost_utils.process_allgather(own) != own, axis=1)
    if different.any():
        which = ", ".join(map(str, np.flatnonzero(different)))
        raise error(f"{what} differs from that of process {which}")
