"""Batches that are gathered on the host while the devices train."""

from collections.abc import Sequence
import concurrent.futures
import functools

import jax
import jax.numpy as jnp
import numpy as np

from dlx import streams
from dlx.data import order
from dlx.errors import UserError
from dlx.runtime import devices, digests

_DIGESTED = 16  # examples that a digest covers


class Streamed:
    """Batches in the order of `Resident`, of arrays that need not fit on a device.

    The arrays are usually memory-mapped files. See `dlx.data.batches.Batches`.

    Attributes:
      examples: The number of examples of an epoch.
    """

    axis = 0

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        batch_size: int,
        seeds: Sequence[int],
        rows: np.ndarray | None = None,
    ):
        """Begins at the first step.

        Args:
          arrays: {name: [examples, ...]}.
          batch_size: The number of examples of a batch over all devices.
          seeds: The seeds of the orders, one for each training side by side.
          rows: The rows of the arrays that are shown; by default all.

        Raises:
          UserError: if the devices do not divide the batch.
        """
        self._share = devices.per_device("config.batch_size", batch_size)
        self._batch_size = batch_size
        self._seeds = np.array(seeds, np.uint32)
        every = np.arange(len(next(iter(arrays.values()))))
        self._arrays, self._rows = arrays, every if rows is None else rows
        self.examples = len(self._rows)
        self._step = 0
        self._reader = concurrent.futures.ThreadPoolExecutor(1)
        self._ahead = None, None  # (first step, number of steps), their arrays

    def source(self, num_steps: int) -> dict[str, jax.Array]:
        """Returns {name: [local devices, num_steps, seeds, batch of a device, ...]}."""
        wanted, (steps, ahead) = (self._step, num_steps), self._ahead
        arrays = ahead.result() if steps == wanted else self._gather(*wanted)
        self._step += num_steps
        following = self._step, num_steps
        self._ahead = following, self._reader.submit(self._gather, *following)
        return devices.split(arrays)

    def batch(self, source, step, which=0):
        num_steps = jax.tree.leaves(source)[0].shape[0]
        examples = jax.tree.map(lambda array: array[step % num_steps, which], source)
        return examples | {"seed": jnp.asarray(self._seeds)[which]}

    def _gather(self, step, num_steps):
        """Reads this process's part of the batches of `num_steps` steps."""
        orders = [self._order(step, num_steps, seed) for seed in self._seeds]
        shape = len(orders), num_steps, jax.device_count(), self._share
        index, epoch = (
            np.reshape(x, shape)[:, :, devices.local_positions()].transpose(2, 1, 0, 3)
            for x in zip(*orders, strict=True)
        )
        rows = self._rows[index]
        arrays = {name: array[rows] for name, array in self._arrays.items()}
        return arrays | {"index": index, "epoch": epoch}

    def _order(self, step, num_steps, seed):
        """Examples of all batches and their epochs, [num_steps x batch] int32 each."""
        with jax.default_device(_host()):  # it does not wait for training
            results = _order(
                np.int32(step), seed, num_steps, self._batch_size, self.examples
            )
        return jax.device_get(results)

    def sample(self, name: str) -> np.ndarray:
        """A few examples, evenly spaced."""
        number = self.examples
        places = np.linspace(0, number - 1, min(number, _DIGESTED)).astype(int)
        return np.asarray(self._arrays[name][self._rows[places]])

    def digest(self):
        """Digests the number of examples and a few of them."""
        some = {name: self.sample(name) for name in self._arrays}
        places = range(len(next(iter(some.values()))))
        examples = [{name: x[place] for name, x in some.items()} for place in places]
        return digests.digest((np.int64(self.examples), examples))

    def save(self):
        return {"step": self._step}

    def restore(self, saved):
        if not isinstance(saved, dict) or "step" not in saved:
            raise UserError(
                "the checkpoint is of an older version of dlx, whose streamed examples "
                "had another order; begin a new run"
            )
        self._step = saved["step"]


def _host():
    """The processor, or the first device where JAX does not have it as a device."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return jax.local_devices()[0]


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _order(step, seed, num_steps, batch_size, size):
    epoch, index = order.first_of_batch(step, batch_size, size)
    key = streams.key(seed, "order")
    index, epoch = order.shuffled(epoch, index, num_steps * batch_size, size, key)
    return index, epoch.astype(jnp.int32)
