"""Batches: from arrays that live on the device, or streamed from the host.

Either way every epoch shows every example once, in an order that follows from the seed
alone; batches run on across the ends of epochs, so that none is cut short. The order is
one over all devices and processes: each takes its share of every batch. Seeds that
train side by side have an order each.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import grain
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx import streams
from dlx.data import sources
from dlx.runtime import devices

_ROUNDS = 6


class Batches(Protocol):
    """Where a task's batches come from.

    Attributes:
      axis: Of what `source` returns, the axis that the devices share out; None where
        each needs all of it; or a tree of those.
    """

    axis: Any

    def source(self, num_steps: int) -> Any:
        """What the next `num_steps` steps of training need, on the devices."""

    def batch(
        self, source: Any, step: jax.Array, which: int | jax.Array = 0
    ) -> dict[str, jax.Array]:
        """One device's batch of one step; pure, under the axis 'devices'.

        Besides what an example has, it says which one it is, 'index' [batch] int32, how
        often that had been shown before, 'epoch' [batch] int32, and whose order this
        is, 'seed' [] uint32.

        Args:
          source: As it came from `source`, less the axis that devices share out.
          step: [] int32.
          which: Of the seeds that train side by side, by its place.
        """

    def save(self) -> dict[str, Any] | None:
        """Where reading stands, for a checkpoint."""

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Goes on from there."""


class Resident:
    """Batches of arrays that every device holds as a whole."""

    axis = None

    def __init__(
        self, arrays: dict[str, np.ndarray], batch_size: int, seeds: Sequence[int]
    ):
        """Checks sizes; the first `source` puts the arrays on the devices.

        Args:
          arrays: {name: [examples, ...]}.
          batch_size: Over all devices.
          seeds: Of the orders, one for each training that runs side by side.

        Raises:
          UserError: where the devices do not divide the batch.
        """
        self._share = devices.per_device("config.batch_size", batch_size)
        self._batch_size = batch_size
        self._seeds = np.array(seeds, np.uint32)
        self._arrays, self._are_on_devices = arrays, False
        self._examples = len(next(iter(arrays.values())))

    def source(self, num_steps: int) -> dict[str, jax.Array]:
        """All of it, whatever the steps."""
        del num_steps
        if not self._are_on_devices:  # what only evaluates never asks
            self._arrays = devices.replicate(self._arrays)
            self._are_on_devices = True
        return self._arrays

    def batch(self, source, step, which=0):
        seed = jnp.asarray(self._seeds)[which]
        epoch, index = first_of_batch(step, self._batch_size, self._examples)
        index += lax.axis_index(devices.AXIS).astype(jnp.uint32) * self._share
        index += jnp.arange(self._share, dtype=jnp.uint32)
        epoch, index = epoch + index // self._examples, index % self._examples
        index = shuffled(epoch, index, self._examples, streams.key(seed, "order"))
        epoch = epoch.astype(jnp.int32)
        examples = jax.tree.map(lambda array: array[index], source)
        return examples | {"index": index, "epoch": epoch, "seed": seed}

    def save(self):
        return None  # the step says it all

    def restore(self, saved):
        del saved


class Streamed:
    """Batches read on the host while the devices train."""

    axis = 0

    def __init__(self, examples: Any, batch_size: int, seeds: Sequence[int]):
        """Opens a stream for each seed.

        Args:
          examples: Has `len` and `[index]`, a dict of arrays of fixed shapes.
          batch_size: Over all devices.
          seeds: Of the orders, one for each training that runs side by side.

        Raises:
          UserError: where the devices do not divide the batch.
        """
        self._share = devices.per_device("config.batch_size", batch_size)
        self._seeds = np.array(seeds, np.uint32)
        self._iterators = [_stream(examples, batch_size, int(seed)) for seed in seeds]

    def source(self, num_steps: int) -> dict[str, jax.Array]:
        """{name: [local devices, num_steps, seeds, batch of a device, ...]}."""
        steps = [next(one) for _ in range(num_steps) for one in self._iterators]

        def stack(*arrays):
            first = num_steps, len(self._seeds), -1, self._share
            return np.moveaxis(np.reshape(arrays, (*first, *arrays[0].shape[1:])), 2, 0)

        return devices.split(jax.tree.map(stack, *steps))

    def batch(self, source, step, which=0):
        num_steps = jax.tree.leaves(source)[0].shape[0]
        examples = jax.tree.map(lambda array: array[step % num_steps, which], source)
        return examples | {"seed": jnp.asarray(self._seeds)[which]}

    def save(self):
        return [one.get_state() for one in self._iterators]

    def restore(self, saved):
        for one, state in zip(self._iterators, saved, strict=True):
            one.set_state(state)


def _stream(examples, batch_size, seed):
    """An iterator over this process's part of all batches in one seed's order."""
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


class Constant:
    """The same for every step."""

    axis = None

    def __init__(self, tree: Any):
        """Puts it on the devices."""
        self._tree = devices.replicate(tree)

    def source(self, num_steps: int) -> Any:
        del num_steps
        return self._tree

    def batch(self, source, step, which=0):
        del step, which
        return source

    def save(self):
        return None

    def restore(self, saved):
        del saved


class Beside:
    """Several kinds of batches, each by its name."""

    def __init__(self, **kinds: Batches):
        self._kinds = kinds
        self.axis = {name: kind.axis for name, kind in kinds.items()}

    def source(self, num_steps: int) -> dict[str, Any]:
        return {name: kind.source(num_steps) for name, kind in self._kinds.items()}

    def batch(self, source, step, which=0):
        return {
            name: kind.batch(source[name], step, which)
            for name, kind in self._kinds.items()
        }

    def save(self):
        return {name: kind.save() for name, kind in self._kinds.items()}

    def restore(self, saved):
        for name, kind in self._kinds.items():
            kind.restore(saved[name])


def of_images(config, at_once: int = 1) -> tuple[Batches, np.ndarray]:
    """The training split of what `config.dataset` names, in batches.

    Args:
      config: Its dataset, data_dir, manual_dir, streamed, batch_size and seed; perhaps
        seeds and image_size.
      at_once: How many times `batch_size` a step takes.

    Returns:
      Batches of {'images': [batch, height, width, channels] uint8, 'labels': [batch]
      int32}; and images to take statistics of, [examples, height, width, channels]
      uint8: all of them; of a streamed data set a thousand, evenly spaced.

    Raises:
      UserError: where it cannot be had, or does not divide over the devices.
    """
    where = config.dataset, "train", config.data_dir, config.manual_dir
    where += (config.get("image_size"),)
    seeds = streams.seeds(config)
    if config.streamed:
        examples = sources.Examples(*where)
        number = min(len(examples), 1000)
        some = np.linspace(0, len(examples) - 1, number).astype(int)
        some = np.stack([examples[i]["images"] for i in some])
        return Streamed(examples, at_once * config.batch_size, seeds), some
    data = sources.load(*where)
    arrays = {"images": data.images, "labels": data.labels}
    return Resident(arrays, at_once * config.batch_size, seeds), data.images


def first_of_batch(
    step: jax.Array, batch_size: int, size: int
) -> tuple[jax.Array, jax.Array]:
    """`step * batch_size` divided by `size`: exact, though the product may not fit.

    Args:
      step: [] int32, batches before this one.
      batch_size: Over all devices.
      size: Examples in an epoch, less than 2^30.

    Returns:
      Whole epochs before this batch (modulo 2^32) and its place in the one that has
      begun, [] uint32 each.
    """
    step = step.astype(jnp.uint32)
    rounds, rest = step // size, step % size
    epoch = index = jnp.uint32(0)
    for bit in f"{batch_size:b}":  # Horner's rule, with remainders at every digit
        index = 2 * index + int(bit) * rest
        epoch, index = 2 * epoch + index // size, index % size
    return epoch + rounds * batch_size, index


def shuffled(
    epoch: jax.Array, index: jax.Array, size: int, key: jax.Array
) -> jax.Array:
    """What is shown at a place in one of endlessly many shuffled epochs.

    An epoch's order is a pseudo-random permutation that is computed where it is wanted
    and never stored: a Feistel network on just enough bits, applied again until it
    falls below `size` (Black and Rogaway 2002, "Ciphers with arbitrary finite domains",
    section 4).

    Args:
      epoch: [...] uint32.
      index: [...] uint32, below `size`.
      size: Examples in an epoch.
      key: Of all epochs.

    Returns:
      [...] int32 in 0 ... size-1.
    """
    half = max(1, -(-(size - 1).bit_length() // 2))
    mask = jnp.uint32((1 << half) - 1)

    def round_keys(epoch):
        return jax.random.bits(jax.random.fold_in(key, epoch), (_ROUNDS,), jnp.uint32)

    flat = jax.vmap(round_keys)(epoch.ravel())
    keys = jnp.moveaxis(flat.reshape(*epoch.shape, _ROUNDS), -1, 0)

    def permute(index):
        left, right = index >> half, index & mask
        for number in range(_ROUNDS):
            left, right = right, left ^ (_mix(right ^ keys[number]) & mask)
        return (left << half) | right

    def walk(index):
        return jnp.where(index < size, index, permute(index))

    index = lax.while_loop(lambda i: jnp.any(i >= size), walk, permute(index))
    return index.astype(jnp.int32)


def _mix(x):
    """MurmurHash3's last step: every bit of the input moves every bit of the output."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
