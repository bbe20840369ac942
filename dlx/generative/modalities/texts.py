"""Texts to be generated: lines of characters, [length, 1, characters], one-hot."""

from collections.abc import Sequence
import pathlib
from pydoc_data import topics
import re
import string
from typing import ClassVar

from absl import logging
import jax
import numpy as np

from dlx import figures as drawing
from dlx import streams
from dlx.data import batches
from dlx.errors import UserError
from dlx.generative.measures import ngrams

CHARACTERS = " " + string.ascii_lowercase + ".,'-"


class Texts:
    """See `dlx.generative.modalities.Kind`."""

    output = "softmax"
    metric = "ngrams_4"
    about: ClassVar = {}

    def __init__(self, config):
        """Reads `config.corpus`, a file, or Python's documentation of its language.

        Raises:
          UserError: where there is no such file, or too little in it.
        """
        text = plain(_read(config.corpus))
        # A line begins where a word does.
        starts = [m.start() for m in re.finditer(r"(?<= )\S", text)]
        starts = [at for at in starts if at + config.length <= len(text)]
        if len(starts) < config.batch_size:
            raise UserError(
                f"config.corpus has {len(starts)} lines of {config.length} characters; "
                f"config.batch_size={config.batch_size} are wanted"
            )
        self._lines = [text[at : at + config.length] for at in starts]
        codes = np.array([encode(line) for line in self._lines], np.uint8)
        arrays = {"codes": codes, "labels": np.zeros(len(codes), np.int32)}
        size = config.batch_size * config.d_steps
        self.batches = batches.Resident(arrays, size, streams.seeds(config))
        self.shape = config.length, 1, len(CHARACTERS)
        self.num_classes = 1

    def units(self, batch: dict[str, jax.Array]) -> jax.Array:
        return jax.nn.one_hot(batch["codes"], len(CHARACTERS))[:, :, None]

    def measure(self, samples: np.ndarray, step: int) -> dict[str, float]:
        lines = decode(samples)
        numbers = {
            "samples": len(lines),
            "different": 100 * len(set(lines)) / len(lines),
        }
        for n in (2, 3, 4):
            known, covered = ngrams.overlap(lines, self._lines, n)
            numbers |= {f"ngrams_{n}": 100 * known, f"covered_{n}": 100 * covered}
        numbers["collapsed"] = numbers["different"] < 50
        if numbers["collapsed"]:
            logging.warning(
                "step %d: it collapses: only %.1f %% of the lines are different",
                step, numbers["different"],
            )  # fmt: skip
        return numbers

    def show(self, samples: np.ndarray, columns: int) -> np.ndarray:
        del columns
        return drawing.page(decode(samples)[:24])

    def figures(self, samples: np.ndarray) -> dict[str, str]:
        return {"samples": "\n".join(decode(samples)) + "\n"}


def plain(text: str) -> str:
    """In small letters; all but CHARACTERS is space, and more than one is one."""
    return re.sub(" +", " ", re.sub(f"[^{re.escape(CHARACTERS)}]", " ", text.lower()))


def encode(line: str) -> list[int]:
    """Characters as numbers."""
    return [CHARACTERS.index(character) for character in line]


def decode(samples: np.ndarray) -> Sequence[str]:
    """The most probable characters of samples, [number, length, 1, characters]."""
    codes = np.argmax(samples[:, :, 0], axis=-1)
    return ["".join(CHARACTERS[code] for code in line) for line in codes]


def _read(corpus):
    if corpus is None:
        return " ".join(topics.topics.values())
    try:
        return pathlib.Path(corpus).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config.corpus: cannot read {corpus}: {error}") from None
