"""Character n-gram precision and recall of generated text."""

import collections
from collections.abc import Iterable, Sequence


def overlap(samples: Sequence[str], real: Sequence[str], n: int) -> tuple[float, float]:
    """Precision and recall of character n-grams, in [0, 1].

    Args:
      samples: Generated lines.
      real: Real lines.
      n: The number of characters of an n-gram.

    Returns:
      Precision, the share of the samples' n-grams that occur in real lines, and recall,
      the share of the real lines' n-grams that occur in samples. Repeated n-grams count
      repeatedly (the precision of Papineni et al. 2002 without clipping).
    """
    sampled, real = (
        collections.Counter(_ngrams(lines, n)) for lines in (samples, real)
    )

    def share(ngrams, reference):
        common = sum(k for ngram, k in ngrams.items() if ngram in reference)
        return common / max(1, ngrams.total())

    return share(sampled, real), share(real, sampled)


def _ngrams(lines: Iterable[str], n: int):
    return (line[i : i + n] for line in lines for i in range(len(line) - n + 1))
