"""Signals that end a run: SIGTERM, SIGINT and SIGHUP.

The first signal is recorded, or interrupts an `interrupting` block. A second signal
ends the process at once, even inside a call that takes minutes.
"""

from collections.abc import Callable, Iterator
import contextlib
import os
import signal
import sys
import threading
import time

_NUMBERS = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
_SAME_SECONDS = 0.3  # one Ctrl-C may reach a process twice
_AGAIN_SECONDS = 0.05  # until an interruption that was swallowed is tried again

_catching: list[list[int]] = []  # the open `caught` contexts, the innermost last
_saved: list[Callable[[], str]] = []  # their messages for a second signal
_interrupting = False


class Interrupted(BaseException):  # not caught by `except Exception`
    """A signal came inside an `interrupting` block."""


@contextlib.contextmanager
def caught(saved: Callable[[], str] = lambda: "") -> Iterator[list[int]]:
    """Collects signals in a list instead of ending the program.

    Contexts may be nested; every list then gets every signal. Only the main thread can
    catch signals: in other threads the list stays empty.

    Args:
      saved: Returns text about the newest checkpoint, for the line at a second signal.
    """
    numbers = []
    if threading.current_thread() is not threading.main_thread():
        yield numbers
        return
    with contextlib.ExitStack() as stack:
        if not _catching:
            stack.enter_context(_watched())
        # Before the handlers, which would otherwise have no list for a signal.
        for contexts, own in ((_catching, numbers), (_saved, saved)):
            contexts.append(own)
            stack.callback(contexts.pop)
        for number in _NUMBERS:
            before = signal.getsignal(number)
            if number == signal.SIGHUP and before == signal.SIG_IGN:
                continue  # nohup: the run outlives its terminal
            stack.callback(signal.signal, number, before)
            signal.signal(number, _catch)
        yield numbers


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """Raises `Interrupted` at a signal inside the block, or if one came before."""
    global _interrupting
    if any(_catching):
        raise Interrupted
    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(_tried_again())
        _interrupting = True
        try:
            yield
        finally:
            _interrupting = False


def _catch(number, frame):
    del frame
    for numbers in _catching:
        numbers.append(number)
    if _interrupting:
        raise Interrupted


@contextlib.contextmanager
def _tried_again():
    """Raises `Interrupted` again if a callback swallowed it.

    Python prints and drops an exception that is raised in `__del__` or in a callback of
    the garbage collector. JAX has such a callback.
    """

    def alarm(number, frame):
        del number, frame
        if _interrupting:
            raise Interrupted

    def dropped(unraisable):
        if isinstance(unraisable.exc_value, Interrupted):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    handler = signal.signal(signal.SIGALRM, alarm)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        sys.unraisablehook = hook


@contextlib.contextmanager
def _watched():
    """Ends the process at a second signal, from a separate thread.

    Python runs handlers only in the main thread, between two calls.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(reader,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        thread.join()


def _watch(reader):
    first = None
    while number := os.read(reader, 1):
        if number[0] not in _NUMBERS:
            continue
        now = time.monotonic()
        first = first or now
        if now - first > _SAME_SECONDS:
            said = _saved[-1]() if _saved else ""
            line = f"ended at once by a second signal; {said}".rstrip("; ")
            os.write(2, f"{line}\n".encode())
            os._exit(128 + number[0])
    os.close(reader)
