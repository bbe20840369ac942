"""Random streams: every key begins here, from a seed and what it is for.

`split(key, n)[i]` is `fold_in(key, i)`. So two purposes that both derive keys from one
by numbers, be it the order of an epoch and the first parameters, draw the same random
numbers. Here the purpose is folded in first, and below it each has its key to itself.
"""

import jax

# Later ones go to the end: a purpose's place is what is folded in.
PURPOSES = (
    "init",  # first states
    "steps",  # training
    "evaluation",
    "figures",
    "order",  # in which an epoch shows its examples
    "halves",  # which examples are mirrored in even epochs
    "weights",  # of a network that looks at pictures, where they are random
    "projections",  # that discriminators look through
    "bits",  # that an autoencoder is tested on
    "sheet",  # samples that a person asks for
    "between",  # blends of samples
    "game",  # rocks that a person or another library plays
    "moves",  # the rocks that come later in such a game
    "unused",  # where a key is wanted and nothing is drawn
)


def seeds(config) -> tuple[int, ...]:
    """Whose training this is: `config.seeds`, side by side, or `config.seed`."""
    return tuple(config.get("seeds") or (config.seed,))


def key(seed: int | jax.Array, purpose: str) -> jax.Array:
    """The key of one purpose.

    Args:
      seed: In 0 ... 2**32 - 1; may be traced.
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
