"""Random streams: every key is derived here, from a seed and a purpose.

`split(key, n)[i]` equals `fold_in(key, i)`. Two purposes that derive keys from one key
by numbers would therefore draw the same random numbers. Folding in the purpose first
gives each purpose keys of its own.
"""

import jax

# Add new purposes at the end, because a purpose's position is folded in.
PURPOSES = (
    "init",  # first states
    "steps",  # training
    "evaluation",
    "figures",
    "order",  # the order of the examples in an epoch
    "halves",  # which examples are mirrored in even epochs
    "weights",  # random weights of a feature extractor
    "projections",  # fixed convolutions before discriminators
    "bits",  # binarised test images
    "sheet",  # samples on request
    "between",  # interpolations on request
    "game",  # games of people and of other libraries
    "moves",  # later rocks in such games
    "unused",  # a key is required and nothing is drawn
)


def seeds(config) -> tuple[int, ...]:
    """The seeds that train: `config.seeds`, side by side, or `config.seed`."""
    return tuple(config.get("seeds") or (config.seed,))


def key(seed: int | jax.Array, purpose: str) -> jax.Array:
    """The key of one purpose.

    Args:
      seed: An integer in 0 ... 2**32 - 1; it may be traced.
      purpose: One of PURPOSES.
    """
    return jax.random.fold_in(jax.random.key(seed), PURPOSES.index(purpose))


class Keys:
    """A run's random keys by purpose; all follow from `config.seed`."""

    def __init__(self, seed: int):
        self.init, self.steps, self._evaluate, self._figures = (
            key(seed, purpose) for purpose in ("init", "steps", "evaluation", "figures")
        )

    def evaluate(self, step: int) -> jax.Array:
        return jax.random.fold_in(self._evaluate, step)

    def figures(self, step: int) -> jax.Array:
        return jax.random.fold_in(self._figures, step)
