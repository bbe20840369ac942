"""Experience replay on the device: a ring of transitions, drawn evenly or by priority.

The ring is [slots, envs]: a slot is one step of all environments. An entry holds the
state before the action and the state after it, the latter from before any reset, so
that returns over n steps are put together when sampled, however far an episode or the
ring goes on. States and not screens are what makes it small: 19 bytes a transition of
rocks with one in the air and 2 more for each further one; priorities take 8 to 16.
"""

from typing import Any

import chex
from flax import struct
import jax
import jax.numpy as jnp

MOST = 2**30  # transitions: nodes of a tree of that many leaves are numbered in int32


@struct.dataclass
class Transition:
    """A step of some environments, in any leading shape.

    Attributes:
      state: Before the action; any pytree.
      action: uint8.
      reward: float32.
      terminated: bool; nothing follows.
      truncated: bool; something would have followed `next_state`.
      next_state: After the action, before any reset.
    """

    state: Any
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    next_state: Any


@struct.dataclass
class Replay:
    """The ring.

    Attributes:
      entries: Transition, [slots, envs, ...].
      written: [] int32, slots ever written.
      priorities: [2 * leaves] float32 or None: a binary tree of sums, its leaves
        those of the entries; node 1 is the root, node i has children 2 i and 2 i + 1.
      max_priority: [] float32, what a new entry gets.
    """

    entries: Transition
    written: jax.Array
    priorities: jax.Array | None
    max_priority: jax.Array


def init(example: Transition, slots: int, *, prioritized: bool) -> Replay:
    """An empty ring.

    Args:
      example: One step of all environments, [envs, ...], for shapes and dtypes.
      slots: How many such steps to hold.
      prioritized: Whether to keep priorities.
    """
    entries = jax.tree.map(lambda x: jnp.zeros((slots, *x.shape), x.dtype), example)
    priorities = None
    if prioritized:
        leaves = 2 ** (slots * example.action.shape[0] - 1).bit_length()
        priorities = jnp.zeros(2 * leaves)
    return Replay(entries, jnp.int32(0), priorities, jnp.float32(1))


def insert(replay: Replay, transition: Transition) -> Replay:
    """Writes one step of all environments, [envs, ...], over the oldest."""
    slots, envs = replay.entries.action.shape
    slot = replay.written % slots
    entries = jax.tree.map(
        lambda ring, new: ring.at[slot].set(new), replay.entries, transition
    )
    replay = replay.replace(entries=entries, written=replay.written + 1)
    if replay.priorities is None:
        return replay
    index = slot * envs + jnp.arange(envs, dtype=jnp.int32)
    priority = jnp.full(envs, replay.max_priority)
    return replay.replace(priorities=_set(replay.priorities, index, priority))


def size(replay: Replay) -> jax.Array:
    """How many transitions it holds: [] int32."""
    slots, envs = replay.entries.action.shape
    return jnp.minimum(replay.written, slots) * envs


def sample(replay: Replay, key: jax.Array, batch_size: int) -> tuple[jax.Array, ...]:
    """Draws entries of a ring that holds some, with replacement.

    Returns:
      index: [batch_size] int32, slot * envs + env.
      probability: [batch_size] float32, of drawing that entry.
    """
    held = size(replay)
    if replay.priorities is None:
        index = jax.random.randint(key, (batch_size,), 0, held)
        return index, jnp.full(batch_size, 1.0) / held
    total = replay.priorities[1]
    # One from each of batch_size equal parts (Schaul et al. 2016, appendix B.2.1).
    part = jnp.arange(batch_size) + jax.random.uniform(key, (batch_size,))
    index = jnp.minimum(_find(replay.priorities, part / batch_size * total), held - 1)
    return index, _leaf(replay.priorities, index) / total


def n_step(
    replay: Replay, index: jax.Array, n: int, discount: float
) -> tuple[Any, jax.Array, jax.Array, jax.Array, Any]:
    """Transitions over up to n steps (Sutton and Barto 2018, section 7.1).

    A return ends with its episode, or with the newest entry.

    Args:
      replay: The ring.
      index: [batch] int32, from `sample`.
      n: At least 1, at most the slots.
      discount: Of each step.

    Returns:
      state: [batch, ...].
      action: [batch] uint8.
      reward: [batch] float32, discounted sum.
      discount: [batch] float32, of the value of `next_state`; 0 where terminated.
      next_state: [batch, ...].
    """
    slots, envs = replay.entries.action.shape
    slot, env = index // envs, index % envs
    newest = (replay.written - 1) % slots

    def entry(slot):
        return jax.tree.map(lambda ring: ring[slot, env], replay.entries)

    first = entry(slot)
    reward, weight = first.reward, jnp.full(index.shape, discount)
    last, ended = slot, first.terminated | first.truncated | (slot == newest)
    for _ in range(n - 1):
        last = jnp.where(ended, last, (last + 1) % slots)
        here = entry(last)
        reward += jnp.where(ended, 0.0, weight * here.reward)
        weight = jnp.where(ended, weight, weight * discount)
        ended |= here.terminated | here.truncated | (last == newest)
    end = entry(last)
    weight = jnp.where(end.terminated, 0.0, weight)
    return first.state, first.action, reward, weight, end.next_state


def update_priorities(replay: Replay, index: jax.Array, priority: jax.Array) -> Replay:
    """Gives entries new priorities, [batch] float32, above 0."""
    return replay.replace(
        priorities=_set(replay.priorities, index, priority),
        max_priority=jnp.maximum(replay.max_priority, jnp.max(priority)),
    )


def _levels(tree):
    """Of sums, above the leaves."""
    return (tree.size // 2).bit_length() - 1


def _leaf(tree, index):
    return tree[tree.size // 2 + index]


def _set(tree, index, priority):
    """Sets leaves, and then all sums above them."""
    chex.assert_equal_shape([index, priority])
    node = tree.size // 2 + index
    tree = tree.at[node].set(priority)
    for _ in range(_levels(tree)):
        node = node // 2
        tree = tree.at[node].set(tree[2 * node] + tree[2 * node + 1])
    return tree


def _find(tree, mass):
    """The leaves where the running sum of priorities comes to pass `mass`."""
    node = jnp.ones(mass.shape, jnp.int32)
    for _ in range(_levels(tree)):
        left = tree[2 * node]
        right = mass >= left
        mass = jnp.where(right, mass - left, mass)
        node = 2 * node + right
    return node - tree.size // 2
