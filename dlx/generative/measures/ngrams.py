"""Character n-gram precision and recall of generated text."""

import collections
from collections.abc import Iterable, Mapping


def count(lines: Iterable[str], n: int) -> collections.Counter[str]:
    """Counts the runs of n characters of all lines."""
    return collections.Counter(
        line[i : i + n] for line in lines for i in range(len(line) - n + 1)
    )


def share(ngrams: Mapping[str, int], reference: Mapping[str, int]) -> float:
    """Share of n-grams that occur in the reference, in [0, 1].

    Of generated n-grams among real ones this is precision, of real ones among generated
    ones recall. Repeated n-grams count repeatedly (the precision of Papineni et al.
    2002 without clipping).
    """
    common = sum(number for ngram, number in ngrams.items() if ngram in reference)
    return common / max(1, sum(ngrams.values()))
