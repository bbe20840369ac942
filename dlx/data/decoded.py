"""Decoded images and their labels, which the cache keeps as memory-mapped files."""

from collections.abc import Iterator, Sequence
import functools
import hashlib
import json
import math
import os
import pathlib
import shutil
import socket
from typing import Any
import zlib

from absl import logging
import numpy as np

from dlx import cache
from dlx.data import images
from dlx.errors import UserError, first_line

_AT_ONCE = 1000  # examples, or rows of an array, that are read at a time
_CHECKSUMS = "checksums.json"
_FIELDS = "images", "labels"


def arrays(
    name: str, version: str, examples: Sequence[dict[str, Any]], size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all images and labels, decoded or from the cache.

    Args:
      name: Name of the data set and split, for the cache.
      version: A text that changes with the data set's files.
      examples: {'image': [height, width, channels], 'label'} each; labels may be
        missing.
      size: Height and width to which images are cropped and scaled, or None.

    Returns:
      Images [examples, height, width, channels] uint8 and labels [examples, ...] int32.
      They are read from the disk when they are used.

    Raises:
      UserError: if the images have different sizes and `size` is None, or do not fit
        on the disk.
    """
    digest = hashlib.sha256(f"{version} {size}".encode()).hexdigest()[:16]
    part = f"{name}-{size}" if size else name
    path = cache.folder("data", f"{part.replace('/', '-')}-{digest}")
    return _read(path) or _write(path, examples, size)


def _read(path):
    """Maps cached images and labels; returns None if they are missing or damaged."""
    try:
        return _mapped(path, (path / _CHECKSUMS).stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):  # missing
        return None
    except (ValueError, LookupError, EOFError, TypeError):  # damaged
        return None


@functools.lru_cache(maxsize=4)  # a run and its reference classifier share two splits
def _mapped(path, changed):
    del changed
    checksums = json.loads((path / _CHECKSUMS).read_text(encoding="utf-8"))
    mapped = tuple(np.load(path / f"{f}.npy", mmap_mode="r") for f in _FIELDS)
    for field, array in zip(_FIELDS, mapped, strict=True):
        if _checksum(array) != checksums[field]:
            raise ValueError(f"{path} is damaged")
    return mapped


def _checksum(array):
    checksum = zlib.crc32(str((array.dtype, array.shape)).encode())
    for first in range(0, len(array), _AT_ONCE):
        checksum = zlib.crc32(np.ascontiguousarray(array[first:][:_AT_ONCE]), checksum)
    return checksum


def _write(path, examples, size):
    """Decodes images and labels into a folder, and then gives it its name."""
    with cache.locked(path):
        if found := _read(path):  # another process may have cached them
            return found
        if path.exists():
            logging.warning("%s is damaged: decoding the data set again", path)
        part = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}")
        part.mkdir()
        try:
            _decode(part, examples, size)
            shutil.rmtree(path, ignore_errors=True)
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return _read(path)


def _decode(folder: pathlib.Path, examples, size):
    labels, pixels = [], None
    for number, example in enumerate(_each(examples)):
        image = images.fit(example["image"], size)
        labels.append(example.get("label", 0))
        if pixels is None:
            shape = len(examples), *image.shape
            _require_room(folder, math.prod(shape))
            pixels = np.lib.format.open_memmap(
                folder / "images.npy", "w+", np.uint8, shape
            )
        if image.shape != pixels.shape[1:]:
            raise UserError(
                "config.dataset has images of different sizes, for example "
                f"{pixels.shape[1:]} and {image.shape}; equal sizes or "
                "config.image_size are needed"
            )
        pixels[number] = image
    if pixels is None:
        raise UserError("config.dataset: a split has no examples")
    if len({np.shape(label) for label in labels}) > 1:
        raise UserError("config.dataset: examples have different numbers of labels")
    pixels.flush()
    np.save(folder / "labels.npy", np.array(labels, np.int32))
    checksums = {
        field: _checksum(np.load(folder / f"{field}.npy", mmap_mode="r"))
        for field in _FIELDS
    }
    (folder / _CHECKSUMS).write_text(json.dumps(checksums), encoding="utf-8")


def _require_room(folder, needed):
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"config.dataset: its decoded images take {needed / 1e9:.3g} GB in the "
            f"cache {folder.parent}, where {free / 1e9:.3g} GB are free; a smaller "
            "config.image_size or another XDG_CACHE_HOME would do"
        )


def _each(examples) -> Iterator[dict[str, Any]]:
    """Reads examples, many at a time where that is possible."""
    read = getattr(examples, "__getitems__", None)
    for first in range(0, len(examples), _AT_ONCE):
        indices = range(first, min(first + _AT_ONCE, len(examples)))
        try:
            yield from read(indices) if read else (examples[i] for i in indices)
        except ValueError as error:  # an image format that TFDS cannot decode
            raise UserError(f"config.dataset: {first_line(error)}") from None
