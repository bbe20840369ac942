"""Image and sound data sets of TFDS, read without TensorFlow.

If their ArrayRecord files are missing, a child process prepares them. It needs
TensorFlow, and either a network or files downloaded by hand. Decoded images are cached.
"""

import os
import pathlib
import subprocess
import sys
import time
import types
from typing import Any

import numpy as np

from dlx import cache
from dlx.data import decoded
from dlx.errors import UserError, first_line

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
        raise UserError(f"config.dataset: {first_line(error)}") from None
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
        info = self._builder.info.full_name
        record = (pathlib.Path(self._builder.data_path) / "dataset_info.json").stat()
        version = f"{self._builder.data_path} {record.st_mtime_ns} {record.st_size}"
        examples = self._builder.as_data_source(split)
        return decoded.arrays(f"{info}-{split}", version, examples, size)
