"""Data sets by name: uint8 images and integer labels.

`digits` is scikit-learn's and always at hand; `stacked_NAME` is three grey images of
NAME as the colours of one; `folder:PATH` is the pictures of a folder, and `photographs`
a few that come with scikit-image. Any other name is a TFDS builder of image
classification, read from its ArrayRecord files without TensorFlow. One that is not
prepared yet is prepared in a child process, which does need TensorFlow, and a network
or the files fetched by hand.
"""

from collections.abc import Sequence
import dataclasses
import functools
import hashlib
import itertools
import os
import pathlib
import socket
import subprocess
import sys
import zipfile
import zlib

from absl import logging
import numpy as np
from PIL import Image, ImageOps

from dlx import cache
from dlx.data import images as pictures
from dlx.errors import UserError

SPLITS = "train", "test"
_AT_ONCE = 2000  # examples that are decoded before the next are
STACKED = "stacked_"
FOLDER = "folder:"
_PHOTOGRAPHS = {
    "train": ["skimage:astronaut", "skimage:coffee", "skimage:rocket"],
    "test": ["skimage:chelsea"],
}
_TRIPLES = {"train": 128_000, "test": 26_000}


@dataclasses.dataclass(frozen=True)
class Images:
    """A split of a data set.

    Attributes:
      images: [examples, height, width, channels] uint8.
      labels: [examples] int32.
      names: Of the classes, by label.
    """

    images: np.ndarray
    labels: np.ndarray
    names: Sequence[str]


def load(
    name: str,
    split: str,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    size: int | None = None,
) -> Images:
    """Reads a split as a whole; what was decoded once is kept for the next time.

    Args:
      name: 'digits', 'stacked_NAME', 'folder:PATH', 'photographs', or of a TFDS builder
        whose examples have an 'image'. Those without a 'label' are all of one class.
      split: 'train' or 'test', for which 'validation' stands where there is none.
      data_dir: Where TFDS keeps its data sets; by default ~/tensorflow_datasets.
      manual_dir: Holds the builder's downloads, fetched by hand.
      size: Of the images, which are cropped to squares and scaled to that; None for as
        they are, which must be of one size.

    Raises:
      UserError: where there is no such data set, it is of another kind, or it cannot be
        had.
    """
    if name == "digits":
        return _digits(split)
    if name.startswith(STACKED):
        base = name.removeprefix(STACKED)
        return _stacked(load(base, split, data_dir, manual_dir, size), split)
    if _is_files(name):
        files = _Pictures(name, split, size)
        images = np.stack([_fitted(example["image"], size) for example in files])
        return Images(images, np.zeros(len(images), np.int32), ["any"])
    builder, split, names = _images(name, split, data_dir, manual_dir)
    kept = _kept(builder, split, size)
    arrays = _read_kept(kept) or _keep(kept, builder, split, size)
    return Images(*arrays, names)


class Examples:
    """A split one example at a time, decoded as it is read: for what does not fit.

    `[index]` is {'images': [height, width, channels] uint8, 'labels': [] int32}.
    """

    def __init__(self, name, split, data_dir=None, manual_dir=None, size=None):
        """As `load`; nothing is read yet.

        Raises:
          UserError: as `load`.
        """
        if name == "digits" or name.startswith(STACKED):
            whole = load(name, split, data_dir, manual_dir, size)
            self._source = [
                {"image": image, "label": label}
                for image, label in zip(whole.images, whole.labels, strict=True)
            ]
            self.names = whole.names
        elif _is_files(name):
            self._source, self.names = _Pictures(name, split, size), ["any"]
        else:
            builder, split, self.names = _images(name, split, data_dir, manual_dir)
            self._source = builder.as_data_source(split)
        self._size = size

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        example = self._source[index]
        return {
            "images": _fitted(example["image"], self._size),
            "labels": np.int32(example.get("label", 0)),
        }


@dataclasses.dataclass(frozen=True)
class AllSounds:
    """A split of a data set of sounds.

    Attributes:
      samples: [examples, length] int16.
      labels: [examples] int32.
      names: Of the classes, by label.
      rate: Samples a second.
    """

    samples: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    rate: int


def load_sounds(
    name: str,
    split: str,
    length: int,
    data_dir: str | None = None,
    manual_dir: str | None = None,
) -> AllSounds:
    """Reads a split of a TFDS builder whose examples have 'audio', 'label'.

    Args:
      name: Of the builder, such as 'spoken_digit'.
      split: 'train' or 'test', which is every tenth of the builder's training examples.
      length: Samples of each sound: its middle, or itself amid silence.
      data_dir: As for `load`.
      manual_dir: As for `load`.

    Raises:
      UserError: where there is no such data set, it is of another kind, or it cannot be
        had.
    """
    builder = _prepared(name, data_dir, manual_dir)
    features = builder.info.features
    if not {"audio", "label"} <= set(features):
        raise UserError(
            f"config.dataset={builder.name} has {', '.join(sorted(features))}; "
            "an audio and a label are wanted"
        )
    examples = list(builder.as_data_source("train"))
    test = examples[::10]
    del examples[::10]
    examples = test if split == "test" else examples
    samples = np.stack([_middle(example["audio"], length) for example in examples])
    labels = np.array([example["label"] for example in examples], np.int32)
    rate = features["audio"].sample_rate
    return AllSounds(samples, labels, features["label"].names, rate)


def _middle(sound, length):
    sound = np.asarray(sound, np.int16)
    first = max(0, len(sound) - length) // 2
    sound = sound[first : first + length]
    before = (length - len(sound)) // 2
    return np.pad(sound, (before, length - len(sound) - before))


def _digits(split):
    """1,797 digits written by 43 people (Alpaydin and Kaynak 1998): 1,437 to train on.

    The split is fixed: a shuffle with seed 0, for the file is ordered by writer.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    part = {"train": order[:1437], "test": order[1437:]}[split]
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int32)
    return Images(images[part], labels[part], [str(n) for n in range(10)])


def _stacked(base, split):
    """Fixed triples, each colour an image; the label's digits are those of the three.

    Of ten classes they make the 1,000 modes of Metz et al. (2017), section 3.3.1.
    """
    if base.images.shape[-1] != 1:
        raise UserError("config.dataset: only grey images are stacked")
    generator = np.random.default_rng(SPLITS.index(split))
    triples = generator.integers(len(base.images), size=(_TRIPLES[split], 3))
    images = np.moveaxis(base.images[triples, ..., 0], 1, -1)
    classes = len(base.names)
    labels = base.labels[triples] @ np.array([classes**2, classes, 1], np.int32)
    names = ["-".join(three) for three in itertools.product(base.names, repeat=3)]
    return Images(np.ascontiguousarray(images), labels.astype(np.int32), names)


def _is_files(name):
    return name.startswith(FOLDER) or name == "photographs"


def _files(name, split):
    """Every tenth of a folder's pictures, at least one, is to test on."""
    if not name.startswith(FOLDER):
        return _PHOTOGRAPHS[split]
    folder = pathlib.Path(name.removeprefix(FOLDER)).expanduser()
    endings = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
    found = sorted(
        str(path) for path in folder.rglob("*") if path.suffix.lower() in endings
    )
    if len(found) < 2:
        raise UserError(f"config.dataset: {folder} has fewer than two pictures")
    test = found[::10]
    return test if split == "test" else sorted(set(found) - set(test))


class _Pictures:
    """Examples from files, each read as it is wanted."""

    def __init__(self, name, split, size):
        self._files = _files(name, split)
        if size is None:
            raise UserError(
                "config.image_size says how large pictures of files are to be"
            )

    def __len__(self):
        return len(self._files)

    def __getitem__(self, index):
        return {"image": np.asarray(pictures.read(self._files[index]).convert("RGB"))}


def _prepared(name, data_dir, manual_dir):
    """The TFDS builder of that name, its files made if need be."""
    import tensorflow_datasets as tfds

    where = data_dir and os.path.expanduser(data_dir)

    def find():
        return tfds.builder(name, data_dir=where, file_format="array_record")

    try:
        builder = find()
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise UserError(f"config.dataset: {_first_line(error)}") from None
    if not builder.is_prepared():
        with cache.locked(cache.folder("data", name.replace("/", "-"))):
            if not find().is_prepared():  # by another process meanwhile
                _prepare(name, builder, manual_dir)
        builder = find()
    return builder


def _prepare(name, builder, manual_dir):
    code = (
        "import sys, tensorflow_datasets as tfds; name, root, manual = sys.argv[1:]; "
        "builder = tfds.builder(name, data_dir=root, file_format='array_record'); "
        "builder.download_and_prepare(download_config=tfds.download.DownloadConfig("
        "manual_dir=manual or None))"
    )
    root = str(builder.data_path.parents[len(pathlib.Path(name).parts)])
    manual = os.path.abspath(os.path.expanduser(manual_dir)) if manual_dir else ""
    print(f"preparing {name} in {root}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-c", code, name, root, manual],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserError(
            f"{name} is not prepared in {root}, and preparing it failed "
            f"({lines[-1].strip() if lines else 'no message'}): give --config.data_dir "
            "where it is prepared, or --config.manual_dir with its files fetched by "
            "hand, or --config.dataset=digits, which needs nothing"
        )


def _images(name, split, data_dir, manual_dir):
    """The builder, the split's name there, and the names of its classes."""
    builder = _prepared(name, data_dir, manual_dir)
    features = builder.info.features
    keys = set(features) if hasattr(features, "keys") else set()
    if "image" not in keys:
        raise UserError(
            f"config.dataset={builder.name} has {', '.join(sorted(keys)) or 'no'} "
            "features; an image is wanted"
        )
    splits = builder.info.splits
    instead = [split, "validation"] if split == "test" else [split]
    there = [name for name in instead if name in splits]
    if not there:
        raise UserError(
            f"config.dataset={builder.name} has no {split!r} split; it has: "
            f"{', '.join(splits)}"
        )
    names = features["label"].names if "label" in keys else ["any"]
    return builder, there[0], names


def _kept(builder, split, size):
    """Where the decoded arrays of just these files are kept."""
    described = (pathlib.Path(builder.data_path) / "dataset_info.json").stat()
    files = f"{builder.data_path} {described.st_mtime_ns} {described.st_size}"
    digest = hashlib.sha256(files.encode()).hexdigest()[:16]
    name = builder.info.full_name.replace("/", "-")
    part = f"{split}-{size}" if size else split
    return cache.folder("data", f"{name}-{part}-{digest}.npz")


def _read_kept(path):
    """Decoded images and labels; None if they are missing or damaged."""
    try:
        return _arrays(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


@functools.lru_cache(maxsize=2)  # a run and its judge have the same two splits
def _arrays(path, changed):
    del changed
    with np.load(path) as arrays:  # which compares checksums
        found = arrays["images"], arrays["labels"]
    for array in found:
        array.setflags(write=False)
    return found


def _keep(path, builder, split, size):
    """Decodes images and labels, and keeps them."""
    with cache.locked(path):
        if arrays := _read_kept(path):  # another process has kept them meanwhile
            return arrays
        if path.exists():
            logging.warning("%s is damaged: decoding the data set again", path)
        arrays = _decode(builder.as_data_source(split), size)
        part = path.with_suffix(f".{socket.gethostname()}-{os.getpid()}.npz")
        np.savez(part, images=arrays[0], labels=arrays[1])
        part.replace(path)
    return arrays


def _decode(source, size):
    images, labels = [], []
    for first in range(0, len(source), _AT_ONCE):
        some = range(first, min(first + _AT_ONCE, len(source)))
        for example in source.__getitems__(some):
            images.append(_fitted(example["image"], size))
            labels.append(example.get("label", 0))
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise UserError(
            f"its images have {len(shapes)} different sizes, such as "
            f"{' and '.join(map(str, sorted(shapes)[:2]))}; one is wanted"
        )
    return np.stack(images), np.array(labels, np.int32)


def _fitted(image, size):
    """Its middle square, scaled to `size` pixels; as it is where that is None."""
    image = np.asarray(image, np.uint8)
    if size is None:
        return image
    picture = Image.fromarray(image.squeeze())
    small = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(size, size, -1)


def _first_line(error):
    return str(error).strip().splitlines()[0]
