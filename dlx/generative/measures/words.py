"""Share of words of generated text that are real words."""

from collections.abc import Collection, Iterable
import re

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_LAST = re.compile(r"[a-z']*$")


def share(lines: Iterable[str], known: Collection[str], *, cut: bool) -> float:
    """Share of the lines' words that are known, in [0, 1]; 0 if there are no words.

    A word is a run of letters, which may have apostrophes inside. Only whole words
    count.

    Args:
      lines: Lower-case lines.
      known: Lower-case words.
      cut: Whether lines may end inside a word. A word that reaches the end of its line
        is left out then, because nothing shows that it is whole.
    """
    if cut:
        lines = (_LAST.sub("", line) for line in lines)
    words = [word for line in lines for word in _WORD.findall(line)]
    return sum(word in known for word in words) / max(1, len(words))
