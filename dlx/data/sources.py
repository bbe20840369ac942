"""Data sets by name: uint8 images with integer labels, and sounds.

`digits` comes with scikit-learn and needs no download. `stacked_NAME` combines three
grey images of NAME as the channels of one. `folder:PATH` has the image files of a
folder, and `photographs` a few that come with scikit-image. Any other name is a TFDS
builder (dlx/data/tfds.py).
"""

from collections.abc import Sequence
import dataclasses
import itertools
import pathlib

import numpy as np

from dlx.data import images, tfds
from dlx.errors import UserError

SPLITS = "train", "test"
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
      names: Names of the classes, by label.
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
    """Reads a whole split. Images of TFDS are decoded once and then cached.

    Args:
      name: 'digits', 'stacked_NAME', 'folder:PATH', 'photographs', or the name of a
        TFDS builder whose examples have an 'image'. Examples without a 'label' are all
        of one class.
      split: 'train' or 'test'. If TFDS has no 'test' split, 'validation' replaces it.
      data_dir: The folder of TFDS's data sets, by default ~/tensorflow_datasets.
      manual_dir: A folder with the builder's downloads, for data sets that have to be
        downloaded by hand.
      size: Images are cropped to squares and scaled to this size. None keeps them as
        they are; they must then have equal sizes.

    Raises:
      UserError: if the data set is unknown, missing, or has no images.
    """
    if name == "digits":
        return _digits(split)
    if name.startswith(STACKED):
        base = name.removeprefix(STACKED)
        return _stacked(load(base, split, data_dir, manual_dir, size), split)
    if _is_files(name):
        examples = _ImageFiles(name, split, size)
        pixels = np.stack([images.fit(example["image"], size) for example in examples])
        return Images(pixels, np.zeros(len(pixels), np.int32), ["any"])
    builder, split, names = tfds.image_split(name, split, data_dir, manual_dir)
    return Images(*tfds.load_images(builder, split, size), names)


class Examples:
    """A split that is read and decoded one example at a time, for large data sets.

    `[index]` returns {'images': [height, width, channels] uint8, 'labels': [] int32}.
    """

    def __init__(self, name, split, data_dir=None, manual_dir=None, size=None):
        """Opens the split; the arguments and errors are those of `load`.

        Raises:
          UserError: if the data set is unknown, missing, or has no images.
        """
        if name == "digits" or name.startswith(STACKED):
            whole = load(name, split, data_dir, manual_dir, size)
            self._source = [
                {"image": image, "label": label}
                for image, label in zip(whole.images, whole.labels, strict=True)
            ]
            self.names = whole.names
        elif _is_files(name):
            self._source, self.names = _ImageFiles(name, split, size), ["any"]
        else:
            builder, split, self.names = tfds.image_split(
                name, split, data_dir, manual_dir
            )
            self._source = builder.as_data_source(split)
        self._size = size

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        example = self._source[index]
        return {
            "images": images.fit(example["image"], self._size),
            "labels": np.int32(example.get("label", 0)),
        }


@dataclasses.dataclass(frozen=True)
class Sounds:
    """A split of a data set of sounds.

    Attributes:
      samples: [examples, length] int16.
      labels: [examples] int32.
      names: Names of the classes, by label.
      rate: Samples per second.
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
) -> Sounds:
    """Reads a split of a TFDS builder whose examples have 'audio' and 'label'.

    Args:
      name: Name of the builder, for example 'spoken_digit'.
      split: 'train' or 'test', which is every tenth of the builder's training examples.
      length: Samples of each sound. Longer sounds are cropped to their middle, and
        shorter ones padded with silence on both sides.
      data_dir: See `load`.
      manual_dir: See `load`.

    Raises:
      UserError: if the data set is unknown, missing, or has no sounds.
    """
    builder = tfds.prepared(name, data_dir, manual_dir)
    features = builder.info.features
    if not {"audio", "label"} <= set(features):
        raise UserError(
            f"config.dataset={builder.name} has the features "
            f"{', '.join(sorted(features))}; an audio and a label are needed"
        )
    examples = list(builder.as_data_source("train"))
    test = examples[::10]
    del examples[::10]
    examples = test if split == "test" else examples
    samples = np.stack([_crop_or_pad(example["audio"], length) for example in examples])
    labels = np.array([example["label"] for example in examples], np.int32)
    rate = features["audio"].sample_rate
    return Sounds(samples, labels, features["label"].names, rate)


def _crop_or_pad(sound, length):
    sound = np.asarray(sound, np.int16)
    first = max(0, len(sound) - length) // 2
    sound = sound[first : first + length]
    before = (length - len(sound)) // 2
    return np.pad(sound, (before, length - len(sound) - before))


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
    """Lists the files of a split; every tenth of a folder is in the test split."""
    if not name.startswith(FOLDER):
        return _PHOTOGRAPHS[split]
    folder = pathlib.Path(name.removeprefix(FOLDER)).expanduser()
    suffixes = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
    paths = sorted(
        str(path) for path in folder.rglob("*") if path.suffix.lower() in suffixes
    )
    if len(paths) < 2:
        raise UserError(f"config.dataset: {folder} has fewer than two images")
    test = paths[::10]
    return test if split == "test" else sorted(set(paths) - set(test))


class _ImageFiles:
    """Examples from image files, each read when it is needed."""

    def __init__(self, name, split, size):
        self._paths = _files(name, split)
        if size is None:
            raise UserError(
                f"config.dataset={name} needs config.image_size, the size to which "
                "image files are scaled"
            )

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        return {"image": np.asarray(images.read(self._paths[index]).convert("RGB"))}
