"""Markov chains of characters, the baselines of generated text."""

import numpy as np


def lines(examples: np.ndarray, order: int, number: int, seed: int) -> np.ndarray:
    """Draws lines from the Markov chain that fits examples best (Shannon 1948, 3).

    Each character follows the `order` characters before it as often as in the examples;
    a line begins like an example, after `order` marks. A drawn character is therefore
    that of a random place of the examples with the same characters before it. If there
    is no such place, because examples only end so, character 0 follows.

    Args:
      examples: [examples, length] integers. Lines of characters.
      order: The number of characters on which the next one depends, at least 1.
      number: The number of lines to draw.
      seed: The seed of the draws.

    Returns:
      [number, length] integers of the examples' dtype.
    """
    base = int(examples.max()) + 2  # all characters and the mark
    begin = base**order - 1  # `order` marks
    pairs = np.empty(examples.shape, np.int64)  # of a context and what follows it
    context = np.full(len(examples), begin)
    for at in range(examples.shape[1]):
        pairs[:, at] = context * base + examples[:, at]
        context = pairs[:, at] % base**order
    pairs = np.sort(pairs, axis=None)
    generator = np.random.default_rng(seed)
    drawn = np.zeros((number, examples.shape[1]), examples.dtype)
    context = np.full(number, begin)
    for at in range(examples.shape[1]):
        first, end = (np.searchsorted(pairs, (context + i) * base) for i in (0, 1))
        place = generator.integers(first, np.maximum(end, first + 1))
        known = end > first
        drawn[known, at] = pairs[place[known]] % base
        context = (context * base + drawn[:, at]) % base**order
    return drawn
