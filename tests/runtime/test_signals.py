"""Signals that interrupt an evaluation, wherever they meet it."""

import gc
import os
import signal
import sys
import time

import pytest

from dlx.runtime import signals


def test_an_interruption_survives_a_callback_that_swallows_it(monkeypatch):
    """JAX's callback of the garbage collector is such a callback."""
    printed, sent, armed = [], [], []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)

    def callback(phase, info):
        if armed and not sent:
            sent.append((phase, info))
            os.kill(os.getpid(), signal.SIGTERM)

    gc.callbacks.append(callback)
    try:
        with (
            signals.caught() as numbers,
            pytest.raises(signals.Interrupted),
            signals.interrupting(),
        ):
            armed.append(True)
            gc.collect()
            began = time.monotonic()
            while time.monotonic() - began < 5:
                time.sleep(0.01)
    finally:
        gc.callbacks.remove(callback)
    assert sent and numbers == [signal.SIGTERM] and printed == []
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_other_errors_of_callbacks_are_still_printed(monkeypatch):
    class Faulty:
        def __del__(self):
            raise ValueError("of a __del__")

    printed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: printed.append(it.exc_type))
    with signals.interrupting():
        Faulty()
    assert printed == [ValueError]
