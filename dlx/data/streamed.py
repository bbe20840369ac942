"""Batches that are read on the host while the devices train."""

from collections.abc import Sequence
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from dlx.runtime import devices, digests

_DIGESTED = 16  # examples that a digest covers


class Streamed:
    """Batches read on the host; see `dlx.data.batches.Batches`.

    Attributes:
      examples: The number of examples of an epoch.
    """

    axis = 0

    def __init__(self, examples: Any, batch_size: int, seeds: Sequence[int]):
        """Opens a stream for each seed.

        Args:
          examples: A sequence of dicts of arrays, whose shapes are all equal.
          batch_size: The number of examples of a batch over all devices.
          seeds: The seeds of the orders, one for each training side by side.

        Raises:
          UserError: if the devices do not divide the batch.
        """
        self._share = devices.per_device("config.batch_size", batch_size)
        self._seeds = np.array(seeds, np.uint32)
        self._iterators = [_stream(examples, batch_size, int(seed)) for seed in seeds]
        self._examples, self.examples = examples, len(examples)

    def source(self, num_steps: int) -> dict[str, jax.Array]:
        """Returns {name: [local devices, num_steps, seeds, batch of a device, ...]}."""
        steps = [
            next(iterator) for _ in range(num_steps) for iterator in self._iterators
        ]

        def stack(*arrays):
            shape = num_steps, len(self._seeds), -1, self._share, *arrays[0].shape[1:]
            return np.moveaxis(np.reshape(arrays, shape), 2, 0)

        return devices.split(jax.tree.map(stack, *steps))

    def batch(self, source, step, which=0):
        num_steps = jax.tree.leaves(source)[0].shape[0]
        examples = jax.tree.map(lambda array: array[step % num_steps, which], source)
        return examples | {"seed": jnp.asarray(self._seeds)[which]}

    def _sample(self):
        """A few examples, evenly spaced."""
        number = len(self._examples)
        places = np.linspace(0, number - 1, min(number, _DIGESTED)).astype(int)
        return [self._examples[int(place)] for place in places]

    def sample(self, name: str) -> np.ndarray:
        return np.stack([example[name] for example in self._sample()])

    def digest(self):
        """Digests the number of examples and a few of them."""
        return digests.digest((np.int64(len(self._examples)), self._sample()))

    def save(self):
        return [iterator.get_state() for iterator in self._iterators]

    def restore(self, saved):
        for iterator, state in zip(self._iterators, saved, strict=True):
            iterator.set_state(state)


def _stream(examples, batch_size, seed):
    """Returns an iterator over this process's part of all batches of one seed."""
    processes = jax.process_count()
    batches = (
        grain.MapDataset.source(examples)
        .map_with_index(
            lambda i, example: example | {"index": np.int32(i % len(examples))}
        )
        .shuffle(seed=seed)
        .repeat()
        .map_with_index(
            lambda i, example: example | {"epoch": np.int32(i // len(examples))}
        )
        .batch(batch_size // processes)
    )
    if processes > 1:
        batches = batches[jax.process_index() :: processes]
    return iter(batches.to_iter_dataset())
