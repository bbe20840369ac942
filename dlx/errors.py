"""What a program says when the fault is not its own."""

from collections.abc import Iterator, Sequence
import contextlib
import errno


class UserError(Exception):
    """A fault that the user can mend: one clear line, exit code 2, no traceback."""


class DivergedError(Exception):
    """Training has come to a number that is not finite: one line, exit code 1."""


def verdict(error: BaseException) -> tuple[int, str] | None:
    """The exit code of an error and its line; None for a bug, which has a traceback."""
    line = " ".join(str(error).split())
    if isinstance(error, DivergedError):
        return 1, line
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return (2, line) if full or isinstance(error, UserError) else None


@contextlib.contextmanager
def blame(what: str) -> Iterator[None]:
    """Says that a TypeError or ValueError inside is about what the user has given."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}: {error}") from error


def require_positive(config, *names: str) -> None:
    """Raises a UserError where one of the config's numbers is below 1."""
    for name in names:
        if config[name] < 1:
            raise UserError(f"config.{name} must be at least 1, got {config[name]}")


def require_at_least_0(config, *names: str) -> None:
    """Raises a UserError where one of the config's numbers is below 0."""
    for name in names:
        if config[name] < 0:
            raise UserError(f"config.{name} must be at least 0, got {config[name]}")


def require_one_of(config, name: str, choices: Sequence[str]) -> None:
    """Raises a UserError where the config has something else."""
    if config[name] not in choices:
        known = ", ".join(map(repr, choices))
        raise UserError(f"config.{name} is {config[name]!r}; there are: {known}")
