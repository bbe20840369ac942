"""What is kept from one run to the next, and can be made again."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib

from dlx.errors import UserError


def folder(*parts: str) -> pathlib.Path:
    """A path below $XDG_CACHE_HOME/dlx, by default ~/.cache/dlx; it may not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root, "dlx", *parts)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Makes the path's folder, and waits for other processes that make the same path.

    Raises:
      UserError: if the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise UserError(
            f"cannot write in the cache {path.parent}: {error.strerror}; "
            "XDG_CACHE_HOME names another folder"
        ) from None
    with file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
