"""What is kept from one run to the next, and can be made again."""

import os
import pathlib


def folder(*parts: str) -> pathlib.Path:
    """A path below $XDG_CACHE_HOME/dlx, by default ~/.cache/dlx; it may not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root, "dlx", *parts)
