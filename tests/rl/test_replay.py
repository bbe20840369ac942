"""The ring against plain lists."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.rl import replay

ENVS, SLOTS = 3, 8


def _step(time, terminated=False, truncated=False):
    """All environments' step number `time`: state 100 time + env, reward time + env."""
    env = np.arange(ENVS)
    return replay.Transition(
        state=np.int32(100 * time + env),
        action=np.uint8(env),
        reward=np.float32(time + env),
        terminated=np.full(ENVS, terminated),
        truncated=np.full(ENVS, truncated),
        # Of no use to a ring that looked for it in the next entry.
        next_state=np.int32(100 * time + env + 50),
    )


def _ring(steps, prioritized=False):
    ring = replay.init(_step(0), SLOTS, prioritized=prioritized)
    for step in steps:
        ring = replay.insert(ring, step)
    return ring


def _plain_n_step(steps, time, env, n, discount):
    """(reward, discount, next state) by the definition, `steps` being all there are."""
    reward, weight = 0.0, 1.0
    for step in steps[time : time + n]:
        reward += weight * step.reward[env]
        weight *= discount
        if step.terminated[env]:
            weight = 0.0
        if step.terminated[env] or step.truncated[env]:
            break
    return reward, weight, step.next_state[env]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("written", [5, 8, 13])
def test_n_step_returns_end_with_the_episode_and_with_the_ring(n, written):
    steps = [
        _step(t, terminated=t in (3, 9), truncated=t in (6, 11)) for t in range(20)
    ]
    steps = steps[:written]
    ring = _ring(steps)
    for time in range(max(0, written - SLOTS), written):
        for env in range(ENVS):
            index = jnp.array([(time % SLOTS) * ENVS + env])
            state, action, reward, discount, next_state = replay.n_step(
                ring, index, n, 0.9
            )
            expected = _plain_n_step(steps, time, env, n, 0.9)
            assert state[0] == 100 * time + env and action[0] == env
            assert next_state[0] == expected[2]
            np.testing.assert_allclose(
                [reward[0], discount[0]], expected[:2], rtol=1e-6, atol=1e-7
            )


def test_a_truncated_end_bootstraps_and_a_terminated_one_does_not():
    ring = _ring([_step(0, terminated=True), _step(1, truncated=True), _step(2)])
    index = jnp.array([0, ENVS])
    *_, discount, next_state = replay.n_step(ring, index, 4, 0.9)
    np.testing.assert_allclose(discount, [0, 0.9], rtol=1e-6)
    np.testing.assert_array_equal(next_state, [50, 150])


@pytest.mark.parametrize("written", [2, 20])
def test_even_sampling(written):
    ring = _ring([_step(t) for t in range(written)])
    index, probability = replay.sample(ring, jax.random.key(0), 30_000)
    size = min(written, SLOTS) * ENVS
    assert replay.size(ring) == size
    counts = np.bincount(index, minlength=SLOTS * ENVS)
    assert counts[size:].sum() == 0
    np.testing.assert_allclose(counts[:size] / 30_000, 1 / size, rtol=0.12)
    np.testing.assert_allclose(probability, 1 / size, rtol=1e-6)


def test_sampling_by_priority():
    ring = _ring([_step(t) for t in range(5)], prioritized=True)
    index = jnp.arange(5 * ENVS)
    priority = jnp.array(np.random.default_rng(0).uniform(0.1, 3, 15), jnp.float32)
    ring = replay.update_priorities(ring, index, priority)
    drawn, probability = replay.sample(ring, jax.random.key(0), 60_000)
    expected = priority / priority.sum()
    counts = np.bincount(drawn, minlength=SLOTS * ENVS)
    assert counts[15:].sum() == 0
    np.testing.assert_allclose(counts[:15] / 60_000, expected, rtol=0.01)
    np.testing.assert_allclose(probability, expected[drawn], rtol=1e-5)


def test_new_entries_get_the_highest_priority_so_far():
    ring = _ring([_step(0), _step(1)], prioritized=True)
    ring = replay.update_priorities(ring, jnp.arange(2), jnp.array([5.0, 0.5]))
    ring = replay.insert(ring, _step(2))
    leaves = ring.priorities[ring.priorities.size // 2 :]
    np.testing.assert_array_equal(leaves[:9], [5, 0.5, 1, 1, 1, 1, 5, 5, 5])
    np.testing.assert_allclose(ring.priorities[1], leaves.sum())


def test_the_tree_of_sums_stays_exact_when_an_entry_is_drawn_twice():
    ring = _ring([_step(t) for t in range(8)], prioritized=True)
    index = jnp.array([3, 3, 7, 20, 3])
    ring = replay.update_priorities(ring, index, jnp.array([2.0, 2.0, 4.0, 0.5, 2.0]))
    tree = np.asarray(ring.priorities)
    for node in range(1, tree.size // 2):
        assert tree[node] == tree[2 * node] + tree[2 * node + 1]
