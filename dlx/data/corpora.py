"""Corpora of text as lines of equal length."""

from collections.abc import Sequence
import pathlib
from pydoc_data import topics
import re
import string

import numpy as np

from dlx import fields, paths
from dlx.data import splits
from dlx.errors import UserError

CHARACTERS = " " + string.ascii_lowercase + ".,'-"
FIELDS = {
    # A text file; None is Python's own language reference.
    "corpus": fields.optional(fields.text()),
    # 'windows': every `length` characters of the running text that begin with a word.
    # 'lines': every line of the file, padded with spaces; see `_lines`.
    "examples": fields.choice("windows", "lines"),
    "length": fields.integer(),
    # A file of words, such as /usr/share/dict/words.
    "words": fields.optional(fields.text()),
}


def plain(text: str) -> str:
    """Lower-cases text; replaces runs of characters not in CHARACTERS by a space."""
    return re.sub(" +", " ", re.sub(f"[^{re.escape(CHARACTERS)}]", " ", text.lower()))


def encode(lines: Sequence[str]) -> np.ndarray:
    """Returns the index of each character in CHARACTERS, [lines, length] uint8."""
    return np.array([list(map(CHARACTERS.index, line)) for line in lines], np.uint8)


def decode(codes: np.ndarray) -> list[str]:
    """Returns the lines of [lines, length] indices."""
    return ["".join(CHARACTERS[code] for code in line) for line in codes]


def spaced(lines: Sequence[str], number: int) -> list[str]:
    """Returns `number` evenly spaced lines, or all if there are fewer."""
    indices = np.linspace(0, len(lines), min(number, len(lines)), endpoint=False)
    return [lines[int(i)] for i in indices]


def load(config) -> tuple[list[str], list[str]]:
    """Loads the training and the held-out lines, each of `config.length` characters.

    `config.validation` lines are held out: the last ones of running text, or evenly
    spaced ones of a file of lines. No training window overlaps a held-out one.

    Raises:
      UserError: if the corpus is missing or too short.
    """
    text = _read("corpus", config.corpus) if config.corpus else _manual()
    split = _lines if config.get("examples") == "lines" else _windows
    training, held_out = split(text, config.length, splits.validation(config))
    if len(training) < config.batch_size:
        raise UserError(
            f"config.corpus has {len(training)} lines of {config.length} characters, "
            f"fewer than config.batch_size={config.batch_size}"
        )
    return training, held_out


def words(config) -> set[str] | None:
    """Loads the lower-cased words of the file `config.words`, None without one.

    Raises:
      UserError: if the file is missing.
    """
    file = config.get("words")
    return set(_read("words", file).lower().split()) if file else None


def _windows(text, length, held_out):
    text = plain(text)
    starts = [m.start() for m in re.finditer(r"(?<= )\S", text)]
    starts = [at for at in starts if at + length <= len(text)]
    first = max(0, len(starts) - held_out)
    end = starts[first] if held_out and starts else len(text)
    training = [at for at in starts[:first] if at + length <= end]
    return [
        [text[at : at + length] for at in part] for part in (training, starts[first:])
    ]


def _lines(text, length, held_out):
    """Drops repeated lines, so that none is both trained on and held out.

    Lines longer than `length` are left out, because a cut line is not a line.
    """
    lines = [plain(line).strip() for line in text.splitlines()]
    lines = [line for line in dict.fromkeys(lines) if 0 < len(line) <= length]
    lines = [line.ljust(length) for line in lines]
    parts = ("train", "validation") if held_out else ("train",)
    chosen = [splits.part(part, len(lines), held_out) for part in parts]
    training, *rest = ([lines[i] for i in indices] for indices in chosen)
    return training, rest[0] if rest else []


def _manual():
    return " ".join(topics.topics.values())


def _read(field, file):
    try:
        return paths.read_text(pathlib.Path(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config.{field}: cannot read {file}: {error}") from None
