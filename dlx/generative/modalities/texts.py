"""Texts as a modality: lines of one-hot characters, [length, 1, characters]."""

from collections.abc import Sequence
import functools
from typing import ClassVar

from absl import logging
import jax
import numpy as np

from dlx import figures as drawing
from dlx import streams
from dlx.data import batches, corpora
from dlx.generative.measures import chains, ngrams, words

_SIZES = 2, 3, 4, 6  # of n-grams
_ORDERS = 2, 3, 4  # of the Markov chains
_COMPARED = "ngrams_4", "ngrams_6", "words", "new", "listed", "found"


class Texts:
    """Texts; see `dlx.generative.modalities.Modality`.

    Measures are percentages. Of lines: `different` from each other, `new` (no training
    line) and, if each line of the corpus is an example, `listed` (a line of the corpus)
    and `found` (a held-out line). Of n-grams: `ngrams_N` (the samples' that occur in
    training lines) and `covered_N` (those of training lines that occur in samples). Of
    words: `words` (in the list of words). The same of as many held-out lines, and of
    Markov chains of order K, have the suffixes `_held_out` and `_chain_K`.

    Attributes:
      held_out: The held-out lines.
    """

    output = "softmax"
    about: ClassVar = {}

    def __init__(self, config):
        """Loads the corpus and the list of words; see `dlx.data.corpora`.

        Raises:
          UserError: if a file is missing or the corpus is too short.
        """
        self._lines, self.held_out = corpora.load(config)
        self._words = corpora.words(config)
        self.metric = "words" if self._words else "ngrams_4"
        self._whole = config.get("examples") == "lines"
        self._codes = corpora.encode(self._lines)
        labels = np.zeros(len(self._codes), np.int32)
        arrays = {"codes": self._codes, "labels": labels}
        size = config.batch_size * config.get("d_steps", 1)
        self.batches = batches.Resident(arrays, size, streams.seeds(config))
        self.shape = config.length, 1, len(corpora.CHARACTERS)
        self.num_classes = 1
        self._references = functools.cache(self._compare)

    def to_network(self, batch: dict[str, jax.Array]) -> jax.Array:
        return jax.nn.one_hot(batch["codes"], len(corpora.CHARACTERS))[:, :, None]

    def measure(
        self, samples: np.ndarray, step: int, labels: np.ndarray | None = None
    ) -> dict[str, float]:
        del labels
        lines = decode(samples)
        numbers = {
            "samples": len(lines),
            "different": 100 * len(set(lines)) / len(lines),
            **self._quality(lines),
            **self._references(len(lines)),
        }
        for n, real in self._ngrams.items():
            numbers[f"covered_{n}"] = 100 * ngrams.share(real, self._count(lines, n))
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

    @functools.cached_property
    def _ngrams(self):
        """The training lines' n-grams, {n: counts}."""
        return {n: self._count(self._lines, n) for n in _SIZES}

    @functools.cached_property
    def _sets(self):
        """The training and the held-out lines as sets."""
        return frozenset(self._lines), frozenset(self.held_out)

    def _count(self, lines, n):
        if self._whole:  # the padding is no text; one space ends a line, one begins it
            lines = (f" {line.strip()} " for line in lines)
        return ngrams.count(lines, n)

    def _quality(self, lines):
        """Percentages of one set of lines, which need no other set of samples."""

        def share(condition):
            return 100 * sum(map(condition, lines)) / len(lines)

        known, held_out = self._sets
        numbers = {
            f"ngrams_{n}": 100 * ngrams.share(self._count(lines, n), real)
            for n, real in self._ngrams.items()
        }
        numbers["new"] = share(lambda line: line not in known)
        if self._whole:
            numbers["listed"] = share(lambda line: line in known or line in held_out)
            numbers["found"] = share(held_out.__contains__)
        if self._words is not None:
            cut = not self._whole
            numbers["words"] = 100 * words.share(lines, self._words, cut=cut)
        return numbers

    def _compare(self, number):
        """The measures of `number` lines of each Markov chain, and held-out lines."""
        references = {
            f"chain_{order}": corpora.decode(
                chains.lines(self._codes, order, number, 0)
            )
            for order in _ORDERS
        }
        if self.held_out:
            references["held_out"] = corpora.spaced(self.held_out, number)
        return {
            f"{measure}_{name}": value
            for name, lines in references.items()
            for measure, value in self._quality(lines).items()
            if measure in _COMPARED
        }


def decode(samples: np.ndarray) -> Sequence[str]:
    """Returns the most probable lines of [number, length, 1, characters] samples."""
    return corpora.decode(np.argmax(samples[:, :, 0], axis=-1))
