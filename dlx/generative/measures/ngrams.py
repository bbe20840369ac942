"""How much of generated text is made of what real text is made of."""

import collections
from collections.abc import Iterable, Sequence


def overlap(samples: Sequence[str], real: Sequence[str], n: int) -> tuple[float, float]:
    """Of runs of n characters: which of the samples' are real, which real ones appear.

    Args:
      samples: Lines.
      real: Lines.
      n: Characters in a run.

    Returns:
      The share of the samples' runs that real lines have, each counted as often as it
      comes (the precision of Papineni et al. 2002, unclipped); and of the real lines'
      runs, counted so too, the share that the samples have.
    """
    ours, theirs = (collections.Counter(_runs(lines, n)) for lines in (samples, real))

    def share(runs, among):
        return sum(k for run, k in runs.items() if run in among) / max(1, runs.total())

    return share(ours, theirs), share(theirs, ours)


def _runs(lines: Iterable[str], n: int):
    return (line[i : i + n] for line in lines for i in range(len(line) - n + 1))
