"""Batches, from arrays on the devices or streamed from the host.

Every epoch shows every example once, in an order that depends only on the seed. Batches
continue across the ends of epochs; all have the same size. The order does not depend on
the number of devices and processes: each takes its share of every batch. Seeds that
train side by side have separate orders.
"""

from collections.abc import Sequence
import hashlib
from typing import Any, Protocol

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx import fields, streams
from dlx.data import images, order, sources, splits
from dlx.data.streamed import Streamed
from dlx.runtime import devices, digests

FIELDS = {
    "dataset": fields.text(),
    "data_dir": fields.optional(fields.text()),
    "manual_dir": fields.optional(fields.text()),
    "streamed": fields.flag(),
    "image_size": fields.optional(fields.integer(1, images.LARGEST)),
    **splits.FIELDS,
    "batch_size": fields.integer(),
}
_SAMPLE = 1000  # images of a streamed data set for statistics


class Batches(Protocol):
    """The source of a task's batches.

    Attributes:
      axis: The axis of the arrays from `source` that is shared out over the devices,
        None if each device needs whole arrays, or a tree of these.
    """

    axis: Any

    def source(self, num_steps: int) -> Any:
        """Puts the data of the next `num_steps` training steps on the devices."""

    def batch(
        self, source: Any, step: jax.Array, which: int | jax.Array = 0
    ) -> dict[str, jax.Array]:
        """Returns one device's batch of one step; a pure function under axis 'devices'.

        Besides the examples' fields, a batch has 'index' [batch] int32, the examples'
        indices; 'epoch' [batch] int32, how often each was shown before; and 'seed' []
        uint32, the seed of the order.

        Args:
          source: The result of `source`, without the axis shared out over devices.
          step: [] int32. The number of steps trained.
          which: The position of the seed among those that train side by side.
        """

    def digest(self) -> str:
        """SHA-256 in hex of the data; a run resumes only on equal data."""

    def save(self) -> dict[str, Any] | None:
        """Returns the position of reading, for a checkpoint."""

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Resumes reading from a saved position."""


class Resident:
    """Batches of arrays that every device holds in full.

    Attributes:
      examples: The number of examples of an epoch.
    """

    axis = None

    def __init__(
        self, arrays: dict[str, np.ndarray], batch_size: int, seeds: Sequence[int]
    ):
        """Checks sizes; the first `source` puts the arrays on the devices.

        Args:
          arrays: {name: [examples, ...]}.
          batch_size: The number of examples of a batch over all devices.
          seeds: The seeds of the orders, one for each training side by side.

        Raises:
          UserError: if the devices do not divide the batch.
        """
        self._share = devices.per_device("config.batch_size", batch_size)
        self._batch_size = batch_size
        self._seeds = np.array(seeds, np.uint32)
        self._arrays, self._are_on_devices = arrays, False
        self.examples = len(next(iter(arrays.values())))

    def source(self, num_steps: int) -> dict[str, jax.Array]:
        """Returns all arrays, for any number of steps."""
        del num_steps
        if not self._are_on_devices:  # never for programs that only evaluate
            self._arrays = devices.replicate(self._arrays)
            self._are_on_devices = True
        return self._arrays

    def batch(self, source, step, which=0):
        seed = jnp.asarray(self._seeds)[which]
        epoch, index = order.first_of_batch(step, self._batch_size, self.examples)
        index += lax.axis_index(devices.AXIS).astype(jnp.uint32) * self._share
        epoch, index = epoch + index // self.examples, index % self.examples
        key = streams.key(seed, "order")
        index, epoch = order.shuffled(epoch, index, self._share, self.examples, key)
        epoch = epoch.astype(jnp.int32)
        examples = jax.tree.map(lambda array: array[index], source)
        return examples | {"index": index, "epoch": epoch, "seed": seed}

    def sample(self, name: str) -> np.ndarray:
        """Returns a field of all examples, or of a few of streamed ones."""
        return np.asarray(self._arrays[name])

    def digest(self):
        return digests.digest(self._arrays)

    def save(self):
        return None  # the step determines the position

    def restore(self, saved):
        del saved


class Fixed:
    """Passes the same arrays to every training step."""

    axis = None

    def __init__(self, tree: Any):
        """Puts the arrays on the devices."""
        self._tree = devices.replicate(tree)

    def source(self, num_steps: int) -> Any:
        del num_steps
        return self._tree

    def batch(self, source, step, which=0):
        del step, which
        return source

    def digest(self):
        return digests.digest(self._tree)

    def save(self):
        return None

    def restore(self, saved):
        del saved


class Combined:
    """Combines several batch sources into a dict, keyed by name."""

    def __init__(self, **sources: Batches):
        self._sources = sources
        self.axis = {name: batches.axis for name, batches in sources.items()}

    def source(self, num_steps: int) -> dict[str, Any]:
        return {
            name: batches.source(num_steps) for name, batches in self._sources.items()
        }

    def batch(self, source, step, which=0):
        return {
            name: batches.batch(source[name], step, which)
            for name, batches in self._sources.items()
        }

    def digest(self):
        digests = [batches.digest() for batches in self._sources.values()]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def save(self):
        return {name: batches.save() for name, batches in self._sources.items()}

    def restore(self, saved):
        for name, batches in self._sources.items():
            batches.restore(saved[name])


def _where(config, split):
    """Arguments of `sources.load`."""
    folders = config.data_dir, config.manual_dir
    size, held_out = config.get("image_size"), splits.validation(config)
    return config.dataset, split, *folders, size, held_out


def evaluated(config) -> sources.Images:
    """Loads the split on which a run is evaluated; see `splits.evaluated`.

    Raises:
      UserError: if the data are missing.
    """
    return sources.load(*_where(config, splits.evaluated(config)))


def of_images(config, at_once: int = 1) -> tuple[Batches, np.ndarray]:
    """Loads the training split of `config.dataset`, in batches.

    Args:
      config: Its dataset, data_dir, manual_dir, streamed, batch_size and seed are read,
        and seeds, image_size and validation if it has them.
      at_once: The number of batches of `batch_size` that a step takes.

    Returns:
      Batches of {'images': [batch, height, width, channels] uint8, 'labels': [batch]
      int32}, and [examples, height, width, channels] uint8 images for statistics: all
      training images, or a thousand evenly spaced ones of a streamed data set.

    Raises:
      UserError: if the data are missing or the devices do not divide the batch.
    """
    where = _where(config, "train")
    seeds = streams.seeds(config)
    size = at_once * config.batch_size
    if not config.streamed:
        data = sources.load(*where)
        arrays = {"images": data.images, "labels": data.labels}
        return Resident(arrays, size, seeds), data.images
    data, rows = sources.whole(*where)
    rows = np.arange(len(data.labels)) if rows is None else rows
    arrays = {"images": data.images, "labels": data.labels}
    spaced = np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(int)
    return Streamed(arrays, size, seeds, rows), data.images[rows[spaced]]
