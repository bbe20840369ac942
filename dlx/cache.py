"""Location of dlx's on-disk cache; everything in it can be made again."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import tempfile

from dlx.errors import UserError


def folder(*parts: str) -> pathlib.Path:
    """Returns a path below $XDG_CACHE_HOME/dlx, by default ~/.cache/dlx.

    A user without a home folder has the cache in the temporary folder.
    """
    root = os.environ.get("XDG_CACHE_HOME") or _home() / ".cache"
    return pathlib.Path(root, "dlx", *parts)


def _home():
    """The user's home folder, or one in the temporary folder for users without."""
    try:
        return pathlib.Path.home()
    except RuntimeError:  # neither $HOME nor an entry in the list of users
        return pathlib.Path(tempfile.gettempdir(), f"dlx-{os.getuid()}")


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Creates the path's parent folder and holds a lock on the path.

    Other processes that make the same path wait until it is released.

    Raises:
      UserError: if the folder is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(f"{path.name}.lock").open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write in the cache {path.parent}: {error.strerror}; "
            "set XDG_CACHE_HOME to another folder"
        ) from None
    with file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
