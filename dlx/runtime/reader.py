"""Reads checkpoints' files with Orbax; distinguishes damage from other errors."""

import functools
import logging as python_logging
import pathlib
import re
import sys
from typing import Any

import jax
import orbax.checkpoint as ocp

# Errors of Orbax and TensorStore for files that are missing or cannot be decoded.
_DAMAGE = (
    *(ValueError, LookupError, EOFError),
    *(FileNotFoundError, IsADirectoryError, NotADirectoryError),
)
_CODES = "NOT_FOUND", "DATA_LOSS", "OUT_OF_RANGE", "INVALID_ARGUMENT"
_CODES += ("FAILED_PRECONDITION",)


class DamagedError(Exception):
    """A checkpoint differs from what was saved."""


def read(folder: pathlib.Path, **items: Any) -> Any:
    """Reads items of a checkpoint, without waiting for other processes.

    Args:
      folder: The checkpoint's folder.
      **items: Orbax's arguments by item, for example `about=ocp.args.JsonRestore()`.

    Returns:
      An object with an attribute for each item.

    Raises:
      DamagedError: if a file is missing or cannot be decoded.
      OSError, MemoryError, ...: if a file cannot be read now.
    """
    _ignore_abandoned_reads()
    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=here,
        active_processes={here},
        barrier_sync_key_prefix=str(here),
    )
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=alone)
    )
    try:
        _require_files(folder)
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as reader:
            return reader.restore(folder, args=ocp.args.Composite(**items))
    except Exception as error:
        # Orbax wraps some errors of TensorStore in a bare Exception.
        cause = error.__cause__ if type(error) is Exception else error
        if not isinstance(cause, _DAMAGE) or _cannot_be_read_now(cause):
            raise
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise DamagedError(reason) from error


def _cannot_be_read_now(error):
    """Whether a TensorStore error says nothing about a file's contents."""
    code = re.match(r"([A-Z]+(_[A-Z]+)*): ", str(error))
    return isinstance(error, ValueError) and code and code[1] not in _CODES


def _require_files(folder):
    """Raises DamagedError if a checkpoint holds something that cannot be read."""
    for path in folder.rglob("*"):
        if not path.is_file() and not path.is_dir():
            raise DamagedError(f"{path.name} is not a file")


@functools.cache  # the hook stays
def _ignore_abandoned_reads():
    """Keeps asyncio quiet about reads that Orbax abandons at a damaged file.

    Orbax then closes the event loop on which other reads still report.
    """
    python_logging.getLogger("asyncio").setLevel(python_logging.CRITICAL)
    usual = sys.unraisablehook

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            usual(unraisable)

    sys.unraisablehook = hook
