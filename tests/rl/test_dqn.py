"""Deep Q-learning, switch by switch, against plain computations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import streams, tasks
from dlx.errors import UserError
from dlx.models.mlp import MLP
from dlx.rl import dqn, evaluation, q_learning, replay
from dlx.rl.networks import QNetwork
from dlx.runtime import devices


@pytest.fixture
def config():
    from configs import dqn_rocks8

    config = dqn_rocks8.get_config()
    config.num_envs, config.batch_size, config.replay_size = 4, 8, 64
    config.features = (16,)
    config.num_steps, config.log_steps = 12, 2
    config.eval_steps = config.checkpoint_steps = 4
    config.eval_rocks = 100
    config.target_rate, config.target_steps, config.n_step = 0.0, 3, 1
    config.dueling = False
    return config


@pytest.mark.parametrize(
    ("selector_q", "discount", "expected"),
    [
        # Plain: the target's own best, 4; double: what the network likes best, 3.
        ([2.0, 3.0, 4.0], 0.9, 0.5 + 0.9 * 4.0 - 1.5),
        ([2.0, 9.0, 4.0], 0.9, 0.5 + 0.9 * 3.0 - 1.5),
        ([2.0, 9.0, 4.0], 0.0, 0.5 - 1.5),
    ],
)
def test_td_error_by_hand(selector_q, discount, expected):
    q, target_q = jnp.array([1.0, 2.0, 1.5]), jnp.array([2.0, 3.0, 4.0])

    def error(q):
        return q_learning.q_learning(
            q,
            jnp.int32(2),
            jnp.float32(0.5),
            jnp.float32(discount),
            target_q,
            jnp.array(selector_q),
        )

    np.testing.assert_allclose(error(q), expected, rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(error)(q), [0, 0, -1])


def test_epsilon_greedy():
    q = jnp.tile(jnp.array([[0.0, 2.0, 1.0]]), (30_000, 1))
    for epsilon in (0.0, 0.3, 1.0):
        actions = q_learning.epsilon_greedy(jax.random.key(1), q, epsilon)
        share = np.bincount(actions, minlength=3) / 30_000
        expected = [epsilon / 3, 1 - 2 * epsilon / 3, epsilon / 3]
        np.testing.assert_allclose(share, expected, atol=0.01)


def test_importance_weights_by_hand():
    """Two devices with half a batch each have one's weights for the whole."""
    probability = jnp.array([0.5, 0.25, 0.125, 0.25])
    raw = np.array([2.0, 1.0, 0.5, 1.0]) ** -0.5
    for count in (1, 2):
        weights = jax.vmap(
            lambda p: q_learning.importance_weights(p, 4, 0.5), axis_name=devices.AXIS
        )(probability.reshape(count, -1))
        np.testing.assert_allclose(weights.ravel(), raw / raw.max(), rtol=1e-6)


def test_dueling_values_are_state_value_plus_advantages_of_mean_0():
    network = QNetwork(MLP((5,)), 3, dueling=True)
    x = jax.random.normal(jax.random.key(0), (4, 6))
    params = network.init(jax.random.key(1), x)
    q = network.apply(params, x)
    head = params["params"]
    features = np.maximum(
        x @ head["torso"]["Dense_0"]["kernel"] + head["torso"]["Dense_0"]["bias"][None],
        0,
    )
    advantage = features @ head["Dense_0"]["kernel"]
    value = features @ head["Dense_1"]["kernel"]
    expected = value + advantage - advantage.mean(1, keepdims=True)
    np.testing.assert_allclose(q, expected, atol=1e-5)
    np.testing.assert_allclose(q.mean(1), value[:, 0], atol=1e-5)


def _trained(config, num_steps):
    task, keys = tasks.make(config), streams.Keys(config.seed)
    state = devices.init(task, keys.init)
    steps = devices.train_steps(task, state, num_steps)
    first = jax.tree.map(np.array, state.params)  # copied: the state is donated
    state, metrics = steps(state, None, devices.device_keys(keys.steps))
    return first, state, metrics


def _equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: (x == y).all(), a, b)))


def test_the_target_network_is_copied_every_target_steps(config):
    first, state, _ = _trained(config, 2)
    assert _equal(state.target_params, first)
    _, state, _ = _trained(config, 3)
    assert _equal(state.target_params, state.params)


def test_the_target_network_follows_softly(config):
    config.target_rate = 0.25
    first, state, _ = _trained(config, 1)
    expected = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, first, state.params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        state.target_params,
        expected,
    )


def test_the_learning_rate_falls_over_all_updates_of_the_run(config):
    """Adam moves by the learning rate where gradients do not change."""
    config.num_steps, config.updates, config.learning_rate = 5, 4, 1.0
    config.max_grad_norm = 1.0
    tx = evaluation.make_optimizer(config, config.updates)
    params = jnp.ones(1)
    state, moved = tx.init(params), []
    for _ in range(20):
        updates, state = tx.update(params, state, params)
        moved.append(-float(updates[0]))
    np.testing.assert_allclose(moved, 1 - np.arange(20) / 20, atol=1e-4)

    _, _, metrics = _trained(config, 5)
    assert metrics["l2_updates"][-1] > 0, "the task says how many updates there are"


def test_an_epsilon_that_takes_no_time_to_fall_is_down_at_once(config):
    config.num_envs, config.replay_size = 128, 128 * 16
    config.epsilon_start, config.epsilon_end, config.epsilon_steps = 1.0, 0.0, 0
    state = jax.jit(tasks.make(config).init)(jax.random.key(0))
    env, network = dqn.agent(config)
    played = jax.jit(dqn.make_play(config, env, network))(state, jax.random.key(1))
    best = jnp.argmax(network.apply(state.params, env.observe(state.envs)), -1)
    np.testing.assert_array_equal(played.replay.entries.action[0], best)


@pytest.mark.parametrize("huber", [0.0, 0.1])
def test_the_loss_is_that_of_the_td_errors(config, huber):
    config.huber, config.n_step = huber, 2
    env, network = dqn.agent(config)
    tx = evaluation.make_optimizer(config)
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    played = jax.jit(dqn.make_play(config, env, network))
    for key in jax.random.split(jax.random.key(1), 10):
        state = played(state, key)
    update = dqn.make_update(config, env, network, tx, batch_size=8)
    _, metrics = jax.jit(jax.vmap(update, (None, 0), axis_name=devices.AXIS))(
        state, jax.random.split(jax.random.key(2), 1)
    )
    # Again, a transition at a time.
    key = jax.random.split(jax.random.key(2), 1)[0]
    index, _ = replay.sample(state.replay, key, 8)
    losses = []
    for i in index:
        before, action, reward, discount, after = (
            jax.tree.map(lambda x: x[0], part)
            for part in replay.n_step(state.replay, i[None], 2, config.discount)
        )
        q, next_q = (
            network.apply(state.params, env.observe(_one(s)))[0]
            for s in (before, after)
        )
        error = float(reward + discount * next_q[next_q.argmax()] - q[action])
        small = 0.5 * error**2
        large = huber * (abs(error) - 0.5 * huber)
        losses.append(large if huber and abs(error) > huber else small)
    np.testing.assert_allclose(metrics["loss"][0], np.mean(losses), rtol=1e-4)


def _one(state):
    return jax.tree.map(lambda x: x[None].astype(jnp.int32), state)


def test_a_transition_takes_19_bytes_and_a_million_fit_in_100_megabytes(config):
    for spawn_every, prioritized, expected in (
        (None, False, 19),
        (4, True, 19 + 6 + 8),
    ):
        config.env.size, config.env.spawn_every = 16, spawn_every
        config.prioritized, config.num_envs = prioritized, 64
        config.replay_size = 2**20
        task = tasks.make(config)
        ring = jax.eval_shape(task.init, jax.random.key(0)).replay
        held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(ring))
        per_transition = held * jax.device_count() / 2**20
        assert round(per_transition) == expected
        assert per_transition * 1e6 < 100e6


def test_the_best_checkpoint_is_that_of_what_the_game_is_about(config):
    assert tasks.make(config).metric == "perfect_starts"
    config.env.spawn_every = 3  # other rocks fall beside the one that has landed last
    task = tasks.make(config)
    assert task.metric == "optimal_fraction"
    numbers = task.evaluate(jax.jit(task.init)(jax.random.key(0)), jax.random.key(1))
    assert 0 <= numbers[task.metric] <= 1


@pytest.mark.parametrize("size", [256, 257, 300])
def test_the_replay_holds_the_games_as_they_were_played(size, config):
    """A column may be more than a byte holds."""
    config.env.size = size
    env, network = dqn.agent(config)
    state = jax.jit(tasks.make(config).init)(jax.random.key(0))
    paddle = jnp.full_like(state.envs.paddle, size - 1)
    state = state.replace(envs=state.envs.replace(paddle=paddle))
    played = jax.jit(dqn.make_play(config, env, network))(state, jax.random.key(1))
    before = jax.tree.map(lambda x: x[0], played.replay.entries.state)
    np.testing.assert_array_equal(before.paddle, paddle)
    np.testing.assert_array_equal(before.columns, state.envs.columns)
    after = jax.tree.map(lambda x: x[0], played.replay.entries.next_state)
    np.testing.assert_array_equal(after.paddle, played.envs.paddle)


@pytest.mark.parametrize(
    "switch",
    [
        {},
        {"prioritized": True},
        {"double": False},
        {"dueling": True, "n_step": 3},
        {"huber": 1.0, "updates": 2},
        {"network": "cnn"},
    ],
    ids=str,
)
def test_every_switch_trains(config, switch):
    config.update(switch)
    first, state, metrics = _trained(config, 4)
    assert all(np.isfinite(m).all() for m in metrics.values())
    assert not _equal(first, state.params)
    assert int(state.step) == 4


@pytest.mark.parametrize("prioritized", [False, True])
def test_devices_agree_and_play_their_own_games(prioritized, config, same_everywhere):
    config.prioritized = prioritized
    first, state, _ = _trained(config, 4)
    same_everywhere((state.params, state.target_params, state.opt_state))
    assert not _equal(first, state.params)
    assert state.envs.paddle.shape == (2, 2)
    actions = state.replay.entries.action
    assert actions.shape[0] == 2 and (actions[0] != actions[1]).any()


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("replay_size", 3, "too few for n_step"),
        ("batch_size", 7, "does not divide over 2 devices"),
        ("updates", 0, "an integer in 1"),
        ("epsilon_steps", -1, "an integer in 0"),
        ("num_steps", 0, "an integer in 1"),
        ("num_steps", 2**31, "an integer in 1 ... 2147483647"),
        ("replay_size", 2**32, "exceeds 1073741824 transitions on a device"),
    ],
)
def test_configs_that_make_no_agent(config, field, value, why):
    config[field] = value
    with pytest.raises(UserError, match=why):
        tasks.make(config)
