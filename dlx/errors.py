"""Exceptions for user errors and diverged training."""

from collections.abc import Iterator, Sequence
import contextlib
import errno


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
    return (2, line) if disk_full or isinstance(error, UserError) else None


@contextlib.contextmanager
def user_error_in(what: str) -> Iterator[None]:
    """Re-raises TypeError and ValueError as UserError, prefixed with `what`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}: {error}") from error


def require_positive(config, *names: str) -> None:
    """Raises UserError if one of the config's numbers is below 1."""
    for name in names:
        if config[name] < 1:
            raise UserError(f"config.{name} must be at least 1, got {config[name]}")


def require_at_least_0(config, *names: str) -> None:
    """Raises UserError if one of the config's numbers is below 0."""
    for name in names:
        if config[name] < 0:
            raise UserError(f"config.{name} must be at least 0, got {config[name]}")


def require_one_of(config, name: str, choices: Sequence[str]) -> None:
    """Raises UserError if the config's value is not one of `choices`."""
    if config[name] not in choices:
        listed = ", ".join(map(repr, choices))
        raise UserError(f"config.{name} is {config[name]!r}; choose one of: {listed}")
