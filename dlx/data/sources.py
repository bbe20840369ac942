"""Data sets of images by name.

`digits` comes with scikit-learn and needs no download. `stacked_NAME` combines three
grey images of NAME as the channels of one. `folder:PATH` has the image files of a
folder (dlx/data/files.py), and `photographs` a few that come with scikit-image.
`spectrograms:NAME` has sounds as images (dlx/data/spectrograms.py). An import path
names a user's function. Any other name is a TFDS builder (dlx/data/tfds.py).
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import itertools
from typing import Protocol

import numpy as np

from dlx import choices
from dlx.data import files, images, spectrograms, splits, tfds
from dlx.data.sounds import Sounds
from dlx.data.sounds import load as load_sounds
from dlx.errors import UserError

__all__ = ["Images", "Sounds", "load", "load_sounds", "whole"]

SPLITS = "train", "test"  # that every data set has
STACKED = "stacked_"
_TRIPLES = {"train": 128_000, "test": 26_000, "validation": 26_000}


@dataclasses.dataclass(frozen=True)
class Images:
    """A split of a data set.

    Attributes:
      images: [examples, height, width, channels] uint8.
      labels: [examples, ...] int32; class labels are [examples].
      names: Names of the classes, by label; empty if labels are not classes.
    """

    images: np.ndarray
    labels: np.ndarray
    names: Sequence[str]


class Source(Protocol):
    """A data set.

    Attributes:
      names: Names of the classes, by label.
      splits: Names of its splits.
    """

    names: Sequence[str]
    splits: Sequence[str]

    def arrays(self, split: str, size: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Reads a split: images [examples, height, width, channels] uint8 and labels.

        Both may be memory-mapped files.

        Args:
          split: One of `splits`.
          size: Height and width to which images are cropped and scaled, or None.
        """


class Arrays:
    """A source whose splits are read as a whole; see `Source`."""

    splits = SPLITS

    def __init__(self, read: Callable[[str], Images]):
        """Keeps `read`, which returns a split."""
        self._read = read
        self.names = read("train").names

    def arrays(self, split, size):
        data = self._read(split)
        if size is None:
            return data.images, data.labels
        fitted = images.fit_all(data.images, len(data.images), size)
        return np.stack(fitted), data.labels


# A name, or a prefix that ends in a colon: the rest of the name -> a source.
SOURCES: dict[str, Callable[[str], Source]] = {
    "digits": lambda _: Arrays(_digits),
    files.FOLDER: files.folder,
    "photographs": lambda _: files.photographs(),
}


def find(name: str, data_dir: str | None, manual_dir: str | None) -> Source:
    """Finds a data set by its name; arguments and errors are those of `load`."""
    for known, source in SOURCES.items():
        if name == known or (known.endswith(":") and name.startswith(known)):
            return source(name.removeprefix(known))
    if name.startswith(spectrograms.PREFIX):
        where = name.removeprefix(spectrograms.PREFIX), data_dir, manual_dir
        return Arrays(functools.cache(lambda split: _spectrograms(split, *where)))
    if "." in name and choices.exists(name.rpartition(".")[0]):
        read = choices.imported(name)
        if not callable(read):
            raise UserError(
                f"config.dataset={name} is not a function of a split's name"
            )
        return Arrays(read)
    return tfds.Builder(name, data_dir, manual_dir)


def load(
    name: str,
    split: str,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    size: int | None = None,
    validation: int = 0,
) -> Images:
    """Reads a split. Images that have to be decoded are cached (dlx/data/decoded.py).

    Args:
      name: 'digits', 'stacked_NAME', 'folder:PATH', 'photographs',
        'spectrograms:NAME', an import path of a function from 'train' and 'test' to
        `Images`, or the name of a TFDS builder whose examples have an 'image'. Examples
        without a 'label' are of one class.
      split: One of `splits.SPLITS`. If TFDS has no 'test' split, its 'validation'
        replaces it.
      data_dir: The folder of TFDS's data sets, by default ~/tensorflow_datasets.
      manual_dir: A folder with the builder's downloads, for data sets that have to be
        downloaded by hand.
      size: Images are cropped to squares and scaled to this size. None keeps them as
        they are; they must then have equal sizes.
      validation: The number of training examples that are held out as the validation
        split, if the data set has none.

    Raises:
      UserError: if the data set is unknown, missing, or has no images.
    """
    data, rows = whole(name, split, data_dir, manual_dir, size, validation)
    if rows is None:
        return data
    return Images(data.images[rows], data.labels[rows], data.names)


def whole(
    name: str,
    split: str,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    size: int | None = None,
    validation: int = 0,
) -> tuple[Images, np.ndarray | None]:
    """Opens a split without reading its images if they are memory-mapped.

    Arguments and errors are those of `load`.

    Returns:
      Examples, and the rows of them that form the split; None for all.
    """
    if name.startswith(STACKED):
        base = name.removeprefix(STACKED)
        data = load(base, split, data_dir, manual_dir, size, validation)
        return _stacked(data, split), None
    source = find(name, data_dir, manual_dir)
    found, held_out = _split(source, name, split, validation)
    data = Images(*source.arrays(found, size), source.names)
    rows = splits.part(split, len(data.labels), held_out) if held_out else None
    return data, rows


def require_classes(name: str, labels: np.ndarray, names: Sequence[str]) -> None:
    """Raises UserError unless labels are class labels, [examples] in 0 ... classes."""
    if len(names) < 2:
        raise UserError(
            f"config.dataset={name} has {len(names)} classes; a classifier needs at "
            "least 2"
        )
    if labels.ndim != 1:
        raise UserError(
            f"config.dataset={name} has labels of shape {labels.shape[1:]}; a "
            "classifier needs one label for each example"
        )
    without = np.sum((labels < 0) | (labels >= len(names)))
    if without:
        raise UserError(
            f"config.dataset={name} has {without} of {len(labels)} examples without a "
            "label; a classifier needs one for each example"
        )


def _split(source, name, split, validation):
    """Returns the source's split to read, and how many of its examples are held out."""
    has_own = {"validation", "test"} <= set(source.splits)
    if split == "test":
        chosen = "test" if "test" in source.splits else "validation"
    else:
        chosen = split if has_own and split == "validation" else "train"
    if chosen not in source.splits:
        raise UserError(
            f"config.dataset={name} has no {split!r} split; it has: "
            f"{', '.join(source.splits)}"
        )
    return chosen, 0 if has_own or split == "test" else validation


def _spectrograms(split, name, data_dir, manual_dir):
    sounds = load_sounds(name, split, spectrograms.LENGTH, data_dir, manual_dir)
    if sounds.rate != spectrograms.RATE:
        raise UserError(
            f"config.dataset={spectrograms.PREFIX}{name} has {sounds.rate} samples a "
            f"second; spectrograms are of sounds with {spectrograms.RATE}"
        )
    pictures = spectrograms.from_sounds(sounds.samples)
    return Images(pictures, sounds.labels, sounds.names)


def _digits(split):
    """1,797 digits written by 43 people (Alpaydin and Kaynak 1998), 1,437 for training.

    The split is fixed. Examples are shuffled with seed 0, as the file is ordered by
    writer.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    part = {"train": order[:1437], "test": order[1437:]}[split]
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int32)
    return Images(images[part], labels[part], [str(n) for n in range(10)])


def _stacked(base, split):
    """Stacks fixed triples of grey images as channels; labels are triples of labels.

    Ten classes give the 1,000 modes of Metz et al. (2017), section 3.3.1.
    """
    if base.images.shape[-1] != 1:
        raise UserError(
            "config.dataset: only grey images can be stacked, but these have "
            f"{base.images.shape[-1]} channels"
        )
    generator = np.random.default_rng(list(_TRIPLES).index(split))
    triples = generator.integers(len(base.images), size=(_TRIPLES[split], 3))
    images = np.moveaxis(base.images[triples, ..., 0], 1, -1)
    classes = len(base.names)
    labels = base.labels[triples] @ np.array([classes**2, classes, 1], np.int32)
    names = ["-".join(three) for three in itertools.product(base.names, repeat=3)]
    return Images(np.ascontiguousarray(images), labels.astype(np.int32), names)
