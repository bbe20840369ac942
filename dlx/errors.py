"""Exceptions for user errors and diverged training."""

from collections.abc import Iterator
import contextlib
import errno
import re

_OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|[Oo]ut of memory")
_NO_DEVICE = "Unable to initialize backend"


class UserError(Exception):
    """An error that the user can correct: one line, exit code 2, no traceback."""


class DivergedError(Exception):
    """Training produced a number that is not finite: one line, exit code 1."""


def exit_status(error: BaseException) -> tuple[int, str] | None:
    """Returns the exit code and message of an error, or None if it is a bug."""
    line = " ".join(str(error).split())
    if isinstance(error, DivergedError):
        return 1, line
    disk_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if is_out_of_memory(error):
        return 2, f"out of memory; use smaller sizes in the config: {line}"
    if isinstance(error, RuntimeError) and line.startswith(_NO_DEVICE):
        return 2, f"JAX does not start, see $JAX_PLATFORMS and $XLA_FLAGS: {line}"
    return (2, line) if disk_full or isinstance(error, UserError) else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or XLA could not allocate memory."""
    if isinstance(error, RuntimeError):  # XLA's errors are RuntimeErrors
        return bool(_OUT_OF_MEMORY.search(str(error)))
    return isinstance(error, MemoryError)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message that is not empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


@contextlib.contextmanager
def user_error_in(what: str) -> Iterator[None]:
    """Re-raises TypeError and ValueError as UserError, prefixed with `what`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}: {error}") from error
