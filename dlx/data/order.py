"""The order of examples: pseudo-random permutations that are computed, not stored."""

import jax
from jax import lax
import jax.numpy as jnp

_ROUNDS = 6


def first_of_batch(
    step: jax.Array, batch_size: int, size: int
) -> tuple[jax.Array, jax.Array]:
    """Divides `step * batch_size` by `size`, exactly, even if the product overflows.

    Args:
      step: [] int32. The number of batches before this one.
      batch_size: The number of examples of a batch over all devices.
      size: The number of examples of an epoch, less than 2^30.

    Returns:
      The number of whole epochs before this batch (modulo 2^32), and the batch's
      position in the current epoch, [] uint32 each.
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
    """Returns the example at a position of a shuffled epoch.

    An epoch's order is a pseudo-random permutation that is computed when needed and
    never stored. It is a Feistel network on just enough bits, applied again until the
    result is below `size` (Black and Rogaway 2002, "Ciphers with arbitrary finite
    domains", section 4).

    Args:
      epoch: [...] uint32. The epoch.
      index: [...] uint32, below `size`. The position in the epoch.
      size: The number of examples of an epoch.
      key: The key of all epochs' orders.

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
    """The last step of MurmurHash3: all output bits depend on all input bits."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
