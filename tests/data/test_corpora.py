"""Corpora: characters, windows and lines, what is held out, lists of words."""

import ml_collections
import numpy as np
import pytest

from dlx.data import corpora
from dlx.errors import UserError


def _config(tmp_path, text, **fields):
    (tmp_path / "mine.txt").write_text(text)
    corpus = {"corpus": str(tmp_path / "mine.txt"), "length": 5, "batch_size": 1}
    return ml_collections.ConfigDict(corpus | fields)


def test_text_is_simplified_encoded_and_decoded():
    line = corpora.plain("A  GAN (2014),\nof text!")
    assert line == "a gan , of text "
    codes = corpora.encode([line, line[::-1]])
    assert codes.shape == (2, len(line)) and codes.dtype == np.uint8
    assert corpora.decode(codes) == [line, line[::-1]]


def test_windows_begin_with_words(tmp_path):
    config = _config(tmp_path, "One two,\n THREE four. five")
    assert corpora.load(config) == (["two, ", "three", "four."], [])


def test_no_training_window_overlaps_a_held_out_one(tmp_path):
    text = " ".join(f"{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(300))
    whole, none = corpora.load(_config(tmp_path, text))
    training, held_out = corpora.load(_config(tmp_path, text, validation=40))
    assert none == [] and held_out == whole[-40:]
    assert training == whole[: len(training)] and len(whole) - len(training) < 43
    seen = {word for line in training for word in line.split()}
    assert not seen & {word for line in held_out for word in line.split()}


def test_every_line_is_an_example_once(tmp_path):
    text = "Emma\n\nAnn-Lee\n emma\nJo\nAlexander\nIda\n"
    config = _config(tmp_path, text, examples="lines", length=7)
    # 'emma' again is left out, and 'alexander', which is too long.
    expected = ["emma   ", "ann-lee", "jo     ", "ida    "]
    assert corpora.load(config) == (expected, [])
    config.validation = 2
    assert corpora.load(config) == (expected[1::2], expected[::2])
    config.validation = 4
    with pytest.raises(UserError, match="must leave examples for training"):
        corpora.load(config)


def test_words_are_lower_cased(tmp_path):
    config = _config(tmp_path, "x", words=None)
    assert corpora.words(config) is None
    config.words = str(tmp_path / "list")
    with pytest.raises(UserError, match=r"config.words: cannot read .*list"):
        corpora.words(config)
    (tmp_path / "list").write_text("Paris\nit's\n")
    assert corpora.words(config) == {"paris", "it's"}


def test_a_corpus_that_is_missing_or_short_is_one_line(tmp_path):
    config = _config(tmp_path, "too short for anything", length=16, batch_size=2)
    with pytest.raises(UserError, match="has 1 lines of 16 characters, fewer than"):
        corpora.load(config)
    config.validation = 1
    with pytest.raises(UserError, match="has 0 lines of 16 characters"):
        corpora.load(config)
    config.corpus = str(tmp_path / "none.txt")
    with pytest.raises(UserError, match=r"config.corpus: cannot read .*none.txt"):
        corpora.load(config)
