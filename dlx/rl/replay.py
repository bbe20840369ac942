"""Experience replay on the device: a ring of transitions, uniform or prioritised.

The ring is [slots, envs]. A slot is one step of all environments. An entry holds the
state before the action and the state after it, before any reset; n-step returns are
assembled when they are sampled. The ring is small because it holds states, not screens:
19 bytes per transition of rocks with one rock in the air and 2 more per further rock.
Priorities take another 8 to 16 bytes.
"""

from typing import Any

import chex
from flax import struct
import jax
import jax.numpy as jnp

from dlx.errors import UserError

MOST = 2**30  # transitions; the priority tree numbers twice as many nodes in int32


@struct.dataclass
class Transition:
    """One step of several environments, with any leading shape.

    Attributes:
      state: Any pytree. The state before the action.
      action: uint8.
      reward: float32.
      terminated: bool. Whether the episode ended by the rules.
      truncated: bool. Whether the episode was cut off after `next_state`.
      next_state: The state after the action, before any reset.
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
      entries: [slots, envs, ...]. The transitions.
      written: [] int32. The number of slots ever written.
      priorities: [2 * leaves] float32 or None. A binary tree of sums over the entries'
        priorities. Node 1 is the root; node i has the children 2 i and 2 i + 1.
      max_priority: [] float32. The priority of new entries.
    """

    entries: Transition
    written: jax.Array
    priorities: jax.Array | None
    max_priority: jax.Array


def init(example: Transition, slots: int, *, prioritized: bool) -> Replay:
    """Makes an empty ring.

    Args:
      example: [envs, ...]. One step of all environments, for shapes and dtypes.
      slots: The number of steps to hold.
      prioritized: Whether to keep priorities.
    """
    entries = jax.tree.map(lambda x: jnp.zeros((slots, *x.shape), x.dtype), example)
    priorities = None
    if prioritized:
        leaves = 2 ** (slots * example.action.shape[0] - 1).bit_length()
        priorities = jnp.zeros(2 * leaves)
    return Replay(entries, jnp.int32(0), priorities, jnp.float32(1))


def num_slots(config, num_envs: int) -> int:
    """The slots of a config's replay.

    Args:
      config: It reads `n_step` and, over all devices, `replay_size` and `num_envs`.
      num_envs: The environments of one device.

    Raises:
      UserError: if the slots are too few for `n_step`, or too many to be numbered.
    """
    slots = config.replay_size // config.num_envs
    if slots < config.n_step:
        raise UserError(
            f"config.replay_size={config.replay_size} holds {slots} steps of "
            f"config.num_envs={config.num_envs}: too few for n_step={config.n_step}"
        )
    if slots * num_envs > MOST:
        raise UserError(
            f"config.replay_size={config.replay_size} exceeds {MOST} transitions on a "
            "device, the most that int32 indices can number"
        )
    return slots


def insert(replay: Replay, transition: Transition) -> Replay:
    """Overwrites the oldest slot with one step of all environments, [envs, ...]."""
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
    """The number of transitions held: [] int32."""
    slots, envs = replay.entries.action.shape
    return jnp.minimum(replay.written, slots) * envs


def sample(replay: Replay, key: jax.Array, batch_size: int) -> tuple[jax.Array, ...]:
    """Draws entries with replacement from a ring that is not empty.

    Returns:
      index: [batch_size] int32. slot * envs + env.
      probability: [batch_size] float32. The probability of drawing that entry.
    """
    held = size(replay)
    if replay.priorities is None:
        index = jax.random.randint(key, (batch_size,), 0, held)
        return index, jnp.full(batch_size, 1.0) / held
    total = replay.priorities[1]
    # Stratified: one draw from each of batch_size equal parts (appendix B.2.1).
    part = jnp.arange(batch_size) + jax.random.uniform(key, (batch_size,))
    index = jnp.minimum(_find(replay.priorities, part / batch_size * total), held - 1)
    return index, _leaf(replay.priorities, index) / total


def n_step(
    replay: Replay, index: jax.Array, n: int, discount: float
) -> tuple[Any, jax.Array, jax.Array, jax.Array, Any]:
    """Assembles transitions over up to n steps (Sutton and Barto 2018, section 7.1).

    A return ends when its episode ends, or at the newest entry.

    Args:
      replay: The ring.
      index: [batch] int32. From `sample`.
      n: The number of steps, from 1 to the number of slots.
      discount: The discount of each step.

    Returns:
      state: [batch, ...].
      action: [batch] uint8.
      reward: [batch] float32. The discounted sum of rewards.
      discount: [batch] float32. The discount of `next_state`'s value; 0 if terminated.
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
    """Sets the priorities of entries, [batch] float32 above 0."""
    return replay.replace(
        priorities=_set(replay.priorities, index, priority),
        max_priority=jnp.maximum(replay.max_priority, jnp.max(priority)),
    )


def _levels(tree):
    """Number of levels above the leaves."""
    return (tree.size // 2).bit_length() - 1


def _leaf(tree, index):
    return tree[tree.size // 2 + index]


def _set(tree, index, priority):
    """Sets leaves, then all sums above them."""
    chex.assert_equal_shape([index, priority])
    node = tree.size // 2 + index
    tree = tree.at[node].set(priority)
    for _ in range(_levels(tree)):
        node = node // 2
        tree = tree.at[node].set(tree[2 * node] + tree[2 * node + 1])
    return tree


def _find(tree, mass):
    """Finds the leaves at which the cumulative priority first exceeds `mass`."""
    node = jnp.ones(mass.shape, jnp.int32)
    for _ in range(_levels(tree)):
        left = tree[2 * node]
        right = mass >= left
        mass = jnp.where(right, mass - left, mass)
        node = 2 * node + right
    return node - tree.size // 2
