"""Texts as a modality: lines of one-hot characters, [length, 1, characters]."""

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
from dlx import paths, streams
from dlx.data import batches
from dlx.errors import UserError
from dlx.generative.measures import ngrams

CHARACTERS = " " + string.ascii_lowercase + ".,'-"


class Texts:
    """Texts; see `dlx.generative.modalities.Modality`."""

    output = "softmax"
    metric = "ngrams_4"
    about: ClassVar = {}

    def __init__(self, config):
        """Reads the file `config.corpus`, or Python's own language reference.

        Raises:
          UserError: if the file is missing or too short.
        """
        text = plain(_read(config.corpus))
        # Every line begins with a word.
        starts = [m.start() for m in re.finditer(r"(?<= )\S", text)]
        starts = [at for at in starts if at + config.length <= len(text)]
        if len(starts) < config.batch_size:
            raise UserError(
                f"config.corpus has {len(starts)} lines of {config.length} characters, "
                f"fewer than config.batch_size={config.batch_size}"
            )
        self._lines = [text[at : at + config.length] for at in starts]
        codes = np.array([encode(line) for line in self._lines], np.uint8)
        arrays = {"codes": codes, "labels": np.zeros(len(codes), np.int32)}
        size = config.batch_size * config.get("d_steps", 1)
        self.batches = batches.Resident(arrays, size, streams.seeds(config))
        self.shape = config.length, 1, len(CHARACTERS)
        self.num_classes = 1

    def to_network(self, batch: dict[str, jax.Array]) -> jax.Array:
        return jax.nn.one_hot(batch["codes"], len(CHARACTERS))[:, :, None]

    def measure(
        self, samples: np.ndarray, step: int, labels: np.ndarray | None = None
    ) -> dict[str, float]:
        del labels
        lines = decode(samples)
        numbers = {
            "samples": len(lines),
            "different": 100 * len(set(lines)) / len(lines),
        }
        for n in (2, 3, 4):
            precision, recall = ngrams.overlap(lines, self._lines, n)
            numbers |= {f"ngrams_{n}": 100 * precision, f"covered_{n}": 100 * recall}
        numbers["collapsed"] = numbers["different"] < 50
        if numbers["collapsed"]:
            logging.warning(
                "step %d: possible mode collapse: only %.1f %% of lines are distinct",
                step, numbers["different"],
            )  # fmt: skip
        return numbers

    def show(self, samples: np.ndarray, columns: int) -> np.ndarray:
        del columns
        return drawing.page(decode(samples)[:24])

    def figures(self, samples: np.ndarray) -> dict[str, str]:
        return {"samples": "\n".join(decode(samples)) + "\n"}


def plain(text: str) -> str:
    """Lower-cases text; replaces runs of characters not in CHARACTERS by a space."""
    return re.sub(" +", " ", re.sub(f"[^{re.escape(CHARACTERS)}]", " ", text.lower()))


def encode(line: str) -> list[int]:
    """Returns the index of each character in CHARACTERS."""
    return [CHARACTERS.index(character) for character in line]


def decode(samples: np.ndarray) -> Sequence[str]:
    """Returns the most probable lines of [number, length, 1, characters] samples."""
    codes = np.argmax(samples[:, :, 0], axis=-1)
    return ["".join(CHARACTERS[code] for code in line) for line in codes]


def _read(corpus):
    if corpus is None:
        return " ".join(topics.topics.values())
    try:
        return paths.read_text(pathlib.Path(corpus))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config.corpus: cannot read {corpus}: {error}") from None
