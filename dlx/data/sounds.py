"""Data sets of sounds, from TFDS."""

from collections.abc import Sequence
import dataclasses
import itertools
import os

import numpy as np

from dlx.data import splits, tfds
from dlx.errors import UserError
from dlx.runtime import memory

_TEST = 10  # every tenth example is in the test split


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


def load(
    name: str,
    split: str,
    length: int,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    validation: int = 0,
) -> Sounds:
    """Reads a split of a TFDS builder whose examples have 'audio' and 'label'.

    Args:
      name: Name of the builder, for example 'spoken_digit'. After an @ follows a part
        of names of files, for example 'spoken_digit@theo'.
      split: 'train', 'validation', or 'test', which is every tenth of the builder's
        training examples, or those whose file's name has the part after the @.
      length: Samples of each sound. Longer sounds are cropped to their middle, and
        shorter ones padded with silence on both sides.
      data_dir: See `sources.load`.
      manual_dir: See `sources.load`.
      validation: See `sources.load`.

    Raises:
      UserError: if the data set is unknown, missing, has no sounds, or does not fit
        into memory.
    """
    name, _, held_out = name.partition("@")
    builder = tfds.prepared(name, data_dir, manual_dir)
    features = builder.info.features
    if not {"audio", "label"} <= set(features):
        raise UserError(
            f"config.dataset={builder.name} has the features "
            f"{', '.join(sorted(features))}; it needs 'audio' and 'label'"
        )
    examples = list(builder.as_data_source("train"))
    is_test = [
        held_out in _file(example) if held_out else number % _TEST == 0
        for number, example in enumerate(examples)
    ]
    if len(set(is_test)) < 2:
        raise UserError(
            f"config.dataset={name}@{held_out}: {sum(is_test)} of {len(examples)} names"
            f" of files have {held_out!r}; training and test need at least one each"
        )
    examples = list(
        itertools.compress(examples, (t == (split == "test") for t in is_test))
    )
    if split != "test":
        part = splits.part(split, len(examples), validation)
        examples = [examples[index] for index in part]
    memory.require_on_host(
        2 * 2 * length * len(examples),
        f"config.length={length}: {len(examples)} sounds of {length} samples take",
    )
    samples = np.stack([_crop_or_pad(example["audio"], length) for example in examples])
    labels = np.array([example["label"] for example in examples], np.int32)
    rate = features["audio"].sample_rate
    return Sounds(samples, labels, features["label"].names, rate)


def _file(example):
    """Name of the file that an example was read from, '' if it is not known."""
    return os.fsdecode(example.get("audio/filename", ""))


def _crop_or_pad(sound, length):
    sound = np.asarray(sound, np.int16)
    first = max(0, len(sound) - length) // 2
    sound = sound[first : first + length]
    before = (length - len(sound)) // 2
    return np.pad(sound, (before, length - len(sound) - before))
