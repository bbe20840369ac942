"""Structure and digest of a tree of arrays."""

import hashlib
from typing import Any

import jax
import numpy as np


def structure(tree: Any) -> dict[str, str]:
    """Describes a tree of arrays or shapes: {path: 'float32[256, 128]'}."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): (
            f"{leaf.dtype}{list(leaf.shape)}"
        )
        for path, leaf in leaves
    }


def digest(tree: Any) -> str:
    """SHA-256 in hex over the paths, dtypes, shapes and bytes of a tree's arrays.

    An array that spans several processes counts with this process's part.
    """
    sha256 = hashlib.sha256()
    arrays = map(_here, jax.tree.leaves(tree))
    for (path, kind), array in zip(structure(tree).items(), arrays, strict=True):
        sha256.update(f"{path} {kind}".encode())
        sha256.update(np.ascontiguousarray(array))
    return sha256.hexdigest()


def _here(array):
    """Copies an array, or this process's part of it, to the host."""
    if getattr(array, "is_fully_addressable", True):
        return jax.device_get(array)
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start)
    return np.concatenate([np.asarray(shard.data) for shard in shards])
