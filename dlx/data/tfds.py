"""Image and sound data sets of TFDS, read without TensorFlow.

If their ArrayRecord files are missing, a child process prepares them. It needs
TensorFlow, and either a network or files downloaded by hand. Decoded images are cached.
"""

import functools
import hashlib
import os
import pathlib
import socket
import subprocess
import sys
import time
import types
from typing import Any
import zipfile
import zlib

from absl import logging
import numpy as np

from dlx import cache
from dlx.data import images
from dlx.errors import UserError

_DECODED = 2000  # examples that are read at a time
_SILENT_SECONDS = 10


def prepared(name: str, data_dir: str | None, manual_dir: str | None) -> Any:
    """Returns the TFDS builder of this name. Prepares its files if they are missing.

    Raises:
      UserError: if the name is unknown or the files cannot be prepared.
    """
    import tensorflow_datasets

    _do_without_tensorflow()
    folder = data_dir and os.path.expanduser(data_dir)
    if folder and not os.path.isdir(folder):
        raise UserError(f"config.data_dir: there is no folder {folder}")

    def find():
        return tensorflow_datasets.builder(
            name, data_dir=folder, file_format="array_record"
        )

    try:
        builder = find()
    except (tensorflow_datasets.core.DatasetNotFoundError, ValueError) as error:
        raise UserError(f"config.dataset: {_first_line(error)}") from None
    if not builder.is_prepared():
        with cache.locked(cache.folder("data", name.replace("/", "-"))):
            if not find().is_prepared():  # another process may have prepared it
                _prepare(name, builder, manual_dir)
        builder = find()
    return builder


def _do_without_tensorflow():
    """Lets TFDS's Audio feature name its dtype without importing TensorFlow (4 s)."""
    from tensorflow_datasets.core.features import audio_feature

    if "tensorflow" not in sys.modules:
        dtypes = types.SimpleNamespace(as_dtype=np.dtype)
        audio_feature.tf = types.SimpleNamespace(dtypes=dtypes)


def _prepare(name, builder, manual_dir):
    code = (
        "import sys, tensorflow_datasets as tfds; name, root, manual = sys.argv[1:]; "
        "builder = tfds.builder(name, data_dir=root, file_format='array_record'); "
        "print('begins', flush=True); "
        "builder.download_and_prepare(download_config=tfds.download.DownloadConfig("
        "manual_dir=manual or None))"
    )
    root = str(builder.data_path.parents[len(pathlib.Path(name).parts)])
    manual = os.path.abspath(os.path.expanduser(manual_dir)) if manual_dir else ""
    print(f"preparing {name} in {root}", file=sys.stderr, flush=True)
    code, said = _run([sys.executable, "-c", code, name, root, manual], root)
    if code:
        lines = [line for line in said.splitlines() if line.strip()]
        raise UserError(
            f"{name} is not prepared in {root}, and preparing it failed "
            f"({lines[-1].strip() if lines else 'no message'}); set --config.data_dir "
            "to a folder in which it is prepared, --config.manual_dir to one with its "
            "downloaded files, or --config.dataset=digits, which needs no download"
        )


def _run(command, root):
    """Runs the preparing program; prints a line if it is silent for ten seconds.

    Returns:
      The exit code, and the text that it wrote to stderr.
    """
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child.stdout.readline()  # 'begins', or nothing if it has failed
    began = time.time()
    try:
        _, said = child.communicate(timeout=_SILENT_SECONDS)
    except subprocess.TimeoutExpired:
        if not _has_changed(pathlib.Path(root), began):
            print(
                f"no download has begun within {_SILENT_SECONDS} s; is there a "
                "network? (Ctrl-C stops)",
                file=sys.stderr,
                flush=True,
            )
        _, said = child.communicate()
    return child.returncode, said


def _has_changed(folder, since):
    """Whether any file below a folder was written to since a time."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return any(path.stat().st_size and path.stat().st_mtime > since for path in files)


class Builder:
    """A TFDS builder as a source of images; see `sources.Source`."""

    def __init__(self, name: str, data_dir: str | None, manual_dir: str | None):
        """Opens the builder.

        Raises:
          UserError: if the data set is missing or has no images.
        """
        self._builder = prepared(name, data_dir, manual_dir)
        features = self._builder.info.features
        keys = set(features) if hasattr(features, "keys") else set()
        if "image" not in keys:
            raise UserError(
                f"config.dataset={self._builder.name} has the features "
                f"{', '.join(sorted(keys)) or 'none'}; it needs an 'image'"
            )
        label = features["label"] if "label" in keys else None
        # Only class labels have names. If there are several labels, each has its own.
        self.names = getattr(label, "names", []) if "label" in keys else ["any"]
        self.splits = tuple(self._builder.info.splits)

    def arrays(self, split: str, size: int | None) -> tuple[np.ndarray, np.ndarray]:
        return load_images(self._builder, split, size)

    def examples(self, split: str, size: int | None) -> Any:
        del size
        return self._builder.as_data_source(split)


def load_images(
    builder: Any, split: str, size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and labels of a split, decoded or from the cache.

    Raises:
      UserError: if the images have different sizes and `size` is None.
    """
    path = _cache_path(builder, split, size)
    return _read_cache(path) or _write_cache(path, builder, split, size)


def _cache_path(builder, split, size):
    """The file of decoded arrays; its name depends on the data set's files."""
    info = (pathlib.Path(builder.data_path) / "dataset_info.json").stat()
    files = f"{builder.data_path} {info.st_mtime_ns} {info.st_size}"
    digest = hashlib.sha256(files.encode()).hexdigest()[:16]
    name = builder.info.full_name.replace("/", "-")
    part = f"{split}-{size}" if size else split
    return cache.folder("data", f"{name}-{part}-{digest}.npz")


def _read_cache(path):
    """Reads cached images and labels; returns None if they are missing or damaged."""
    try:
        return _arrays(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


@functools.lru_cache(maxsize=2)  # a run and its reference classifier share two splits
def _arrays(path, changed):
    del changed
    with np.load(path) as file:  # verifies checksums
        arrays = file["images"], file["labels"]
    for array in arrays:
        array.setflags(write=False)
    return arrays


def _write_cache(path, builder, split, size):
    """Decodes images and labels, and caches them."""
    with cache.locked(path):
        if arrays := _read_cache(path):  # another process may have cached them
            return arrays
        if path.exists():
            logging.warning("%s is damaged: decoding the data set again", path)
        arrays = _decode(builder.as_data_source(split), size)
        part = path.with_suffix(f".{socket.gethostname()}-{os.getpid()}.npz")
        np.savez(part, images=arrays[0], labels=arrays[1])
        part.replace(path)
    return arrays


def _decode(source, size):
    decoded, labels = [], []
    for first in range(0, len(source), _DECODED):
        indices = range(first, min(first + _DECODED, len(source)))
        try:
            examples = source.__getitems__(indices)
        except ValueError as error:  # an image format that TFDS cannot decode
            raise UserError(f"config.dataset: {_first_line(error)}") from None
        pictures = (example["image"] for example in examples)
        decoded += images.fit_all(pictures, len(source) - first, size)
        labels += [example.get("label", 0) for example in examples]
    shapes = {image.shape for image in decoded}
    if len(shapes) > 1:
        raise UserError(
            f"config.dataset has images of {len(shapes)} different sizes, for example "
            f"{' and '.join(map(str, sorted(shapes)[:2]))}; equal "
            "sizes or config.image_size are needed"
        )
    if len({np.shape(label) for label in labels}) > 1:
        raise UserError("config.dataset: examples have different numbers of labels")
    return np.stack(decoded), np.array(labels, np.int32)


def _first_line(error):
    return str(error).strip().splitlines()[0]
