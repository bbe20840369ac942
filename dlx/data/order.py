"""The order of examples: pseudo-random permutations that are computed, not stored."""

import jax
from jax import lax
import jax.numpy as jnp

_UNROLLED = 6  # rounds without a loop
_EXTRA_ROUNDS = 20  # beyond log2 of the number of examples; see `shuffled`


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
    epoch: jax.Array, index: jax.Array, count: int, size: int, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the examples at consecutive positions of shuffled epochs.

    An epoch's order is a pseudo-random permutation that is computed when needed and
    never stored: the swap-or-not shuffle (Hoang, Morris and Rogaway 2012, "An
    enciphering scheme based on a card shuffle"). It permutes any number of values, and
    always takes the same number of rounds, so a GPU does not wait for its host.
    Each round halves the expected squared distance between the distribution of an
    example's position and the uniform one. With 20 rounds more than log2(size), the
    total variation between the two is at most 2^-11.

    Args:
      epoch: [] uint32. The first position's epoch.
      index: [] uint32, below `size`. The first position in that epoch.
      count: The number of positions. Further epochs follow the first one.
      size: The number of examples of an epoch, less than 2^30.
      key: The key of all epochs' orders.

    Returns:
      The examples, [count] int32 in 0 ... size-1, and their epochs, [count] uint32.
    """
    index = index + jnp.arange(count, dtype=jnp.uint32)
    which, index = index // size, index % size
    epochs = epoch + jnp.arange((count - 1) // size + 2, dtype=jnp.uint32)
    rounds = (size - 1).bit_length() + _EXTRA_ROUNDS
    draw = jax.vmap(
        lambda epoch: jax.random.bits(jax.random.fold_in(key, epoch), (rounds, 3))
    )
    order = permuted(index, which, draw(epochs), size)
    return order.astype(jnp.int32), epoch + which


def permuted(
    index: jax.Array, which: jax.Array, bits: jax.Array, size: int | jax.Array
) -> jax.Array:
    """Applies rounds of swap-or-not, each of which is its own inverse.

    A round pairs x with k - x modulo `size` and swaps the two if a random function of
    the pair says so. The function is the highest bit of a * x + b for the larger x of
    the pair. It is uniform, and independent for any two pairs (Dietzfelbinger 1996).

    Args:
      index: [count] uint32, below `size`. Positions.
      which: [count] uint32. The permutation of each of them.
      bits: [permutations, rounds, 3] uint32. Random bits, which make k, a and b.
      size: The number of values, less than 2^31.

    Returns:
      [count] uint32, below `size`.
    """
    size = jnp.asarray(size, jnp.uint32)

    def swap_or_not(number, index):
        k, a, b = (bits[:, number, i] for i in range(3))
        k, a, b = (k % size)[which], a[which], b[which]
        partner = jnp.where(index > k, k + size - index, k - index)
        swaps = a * jnp.maximum(index, partner) + b >= jnp.uint32(1 << 31)
        return jnp.where(swaps, partner, index)

    # XLA would put rounds without a loop into what gathers examples by their result,
    # and compute all rounds for every pixel.
    rounds = bits.shape[1]
    return lax.fori_loop(0, rounds, swap_or_not, index, unroll=min(_UNROLLED, rounds))
