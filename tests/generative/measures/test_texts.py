"""Measures of text: n-grams, words, and Markov chains as baselines."""

import collections

import numpy as np
import pytest

from dlx.generative.measures import chains, ngrams, words


def test_ngrams_by_hand():
    sampled, real = ngrams.count(["abcab"], 2), ngrams.count(["abcd"], 2)
    assert sampled == {"ab": 2, "bc": 1, "ca": 1}
    # ab, ab and bc of four are real; ab and bc of ab, bc, cd are in the sample.
    assert ngrams.share(sampled, real) == 3 / 4
    assert ngrams.share(real, sampled) == 2 / 3
    assert ngrams.share(ngrams.count(["x"], 2), real) == 0


def test_only_whole_words_count():
    known = {"the", "fox", "don't", "o"}
    # 'jum' may be the beginning of a word, 'don' of "don't".
    assert words.share(["the fxo jum"], known, cut=True) == 1 / 2
    assert words.share(["the fox don'"], known, cut=True) == 1
    assert words.share(["the fox jum"], known, cut=False) == 2 / 3
    assert words.share(["the fox.", "'the'-x"], known, cut=True) == 1
    assert words.share(["don't o'the x "], known, cut=True) == 1 / 3
    assert (
        words.share(["fox"], known, cut=True) == words.share([], known, cut=True) == 0
    )


def _successors(examples, order):
    """{characters before: how often each character follows}; None is the mark."""
    table = collections.defaultdict(collections.Counter)
    for line in examples.tolist():
        marked = [None] * order + line
        for at, character in enumerate(line):
            table[tuple(marked[at : at + order])][character] += 1
    return table


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_chain_draws_as_often_as_it_has_seen(order):
    generator = np.random.default_rng(0)
    examples = np.minimum.accumulate(generator.integers(0, 3, (40, 6)), axis=1)
    examples = np.uint8(np.where(generator.random((40, 6)) < 0.3, 2, examples))
    drawn = chains.lines(examples, order, 20_000, seed=1)
    assert drawn.shape == (20_000, 6) and drawn.dtype == np.uint8
    real, sampled = _successors(examples, order), _successors(drawn, order)
    assert len(sampled) > 3 * order
    for context, counts in sampled.items():
        if context not in real:  # the end of examples only, and what follows it
            assert set(counts) == {0}
            continue
        total = counts.total()
        for character, number in real[context].items():
            p = number / real[context].total()
            error = abs(counts[character] / total - p)
            assert error <= 5 * np.sqrt(p * (1 - p) / total), (context, character)
        assert counts.keys() <= real[context].keys()


def test_a_chain_follows_from_its_seed():
    examples = np.random.default_rng(0).integers(0, 5, (50, 8))
    first, again, other = (chains.lines(examples, 2, 30, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_chain_as_long_as_the_lines_repeats_them():
    examples = np.array([[1, 2, 1, 3], [2, 1, 1, 0]])
    drawn = chains.lines(examples, 4, 1000, seed=0)
    assert set(map(tuple, drawn)) == set(map(tuple, examples))
