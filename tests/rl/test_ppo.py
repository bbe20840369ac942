"""PPO and its distributions against plain computations and rlax; devices; resume."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dlx import streams, tasks
from dlx.rl import distributions, policy_gradient, ppo
from dlx.runtime import devices, loop


@pytest.fixture
def ppo_config(config):
    with config.unlocked():
        config.update(
            algorithm="ppo", num_envs=8, rollout_steps=7, epochs=2, minibatches=2,
            clip_epsilon=0.2, value_clip=0.0, entropy_cost=0.1, features=(8,),
            num_steps=4, log_steps=2, eval_steps=2, checkpoint_steps=2,
        )  # fmt: skip
    return config


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (1.1, 2.0, -2.2, 1),  # within the range
        (1.5, 2.0, -2.4, 0),  # better already than the range allows
        (0.5, 2.0, -1.0, 1),  # worse: there is no limit
        (0.5, -2.0, 1.6, 0),
        (1.5, -2.0, 3.0, 1),
    ],
)
def test_the_clipped_objective_by_hand(ratio, advantage, expected, slope):
    old = jnp.float32(0.7)
    nll = old - jnp.log(ratio)

    def loss(nll):
        return ppo.clipped_loss(nll, old, jnp.float32(advantage), 0.2)

    np.testing.assert_allclose(loss(nll), expected, rtol=1e-5)
    np.testing.assert_allclose(
        jax.grad(loss)(nll), slope * advantage * ratio, rtol=1e-5
    )


def test_the_clipped_objective_is_rlaxs():
    rlax = pytest.importorskip("rlax", reason="rlax is not installed")
    random = np.random.default_rng(0)
    nll, old, advantages = jnp.asarray(random.normal(size=(3, 50)), jnp.float32)
    expected = rlax.clipped_surrogate_pg_loss(jnp.exp(old - nll), advantages, 0.2)
    found = jnp.mean(ppo.clipped_loss(nll, old, advantages, 0.2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_value_clipping_by_hand():
    values, old = jnp.array([1.0, 3.0, 3.0]), jnp.array([1.0, 1.0, 1.0])
    targets = jnp.array([2.0, 4.0, 0.0])
    plain = ppo.value_loss(values, old, targets, 0.0)
    np.testing.assert_allclose(plain, [0.5, 0.5, 4.5])
    # A value that moved by 2 counts as 1.5; the larger loss is taken.
    clipped = ppo.value_loss(values, old, targets, 0.5)
    np.testing.assert_allclose(clipped, [0.5, 0.5 * 2.5**2, 4.5])


def test_a_gaussian_is_scipys():
    outputs = (
        jnp.array([[0.3, -0.2], [1.0, 0.0]]),
        jnp.array([[0.1, -1.0], [0.0, 0.5]]),
    )
    actions = jnp.array([[0.0, 0.1], [2.0, -1.0]])
    gaussian = distributions.Gaussian(1)
    theirs = stats.norm(*np.array([outputs[0], np.exp(outputs[1])]))
    np.testing.assert_allclose(
        gaussian.nll(outputs, actions), -theirs.logpdf(actions).sum(1), rtol=1e-5
    )
    np.testing.assert_allclose(
        gaussian.entropy(outputs), theirs.entropy().sum(1), rtol=1e-5
    )
    many = jax.tree.map(lambda x: jnp.tile(x[None], (20_000, 1, 1)), outputs)
    drawn = gaussian.sample(many, jax.random.key(0))
    np.testing.assert_allclose(drawn.mean(0), outputs[0], atol=0.05)
    np.testing.assert_allclose(drawn.std(0), np.exp(outputs[1]), rtol=0.03)


def _reference(config, state, device_keys):
    """The gradient of one update on all devices' games: A2C's, where ratios are 1."""
    config = config.copy_and_resolve_references()
    config.algorithm = "a2c"
    env, network = policy_gradient.agent(config)
    parts = []
    for device, key in enumerate(device_keys):
        local = {
            field: jax.tree.map(lambda x, d=device: x[d], getattr(state, field))
            for field in ("envs", "returns", "last_returns")
        }
        own = jax.device_get(state.replace(**local))
        play_key, _ = jax.random.split(jax.random.fold_in(key, 0))
        after, played = policy_gradient.make_rollout(config, env, network)(
            own.params, own, play_key
        )
        parts.append((played, after.envs))
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *parts)
    loss = policy_gradient.make_loss(config, env, network)
    grads, _ = jax.vmap(
        jax.grad(loss, has_aux=True), (None, 0, 0, None), axis_name=devices.AXIS
    )(jax.device_get(state.params), *stacked, 0)
    return jax.tree.map(lambda g: g.mean(0), grads)


def test_the_first_update_is_a2cs_and_devices_give_that_of_one(
    ppo_config, same_everywhere
):
    config = ppo_config
    config.update(epochs=1, minibatches=1)
    task, keys = tasks.make(config), streams.Keys(0)
    state = devices.init(task, keys.init)
    expected = _reference(config, state, devices.device_keys(streams.Keys(0).steps))
    before = jax.device_get(state.params)
    steps = devices.train_steps(task, state, 1)
    after, metrics = steps(state, None, devices.device_keys(keys.steps))
    same_everywhere(after.params)
    assert metrics["clipped"][0] == 0
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(expected)))
    np.testing.assert_allclose(metrics["l2_grads"][0], norm, rtol=1e-3)
    # Adam's first update is against the gradient's sign.
    jax.tree.map(
        lambda a, b, g: np.testing.assert_allclose(
            np.where(np.abs(g) > 1e-5 * norm, np.sign(a - b) + np.sign(g), 0), 0
        ),
        jax.device_get(after.params),
        before,
        expected,
    )


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    ppo_config, terminating, tmp_path
):
    def train(folder, task):
        return loop.train(task, ppo_config, tmp_path / folder, name="test")

    whole = train("whole", tasks.make(ppo_config))
    assert train("parts", terminating(tasks.make(ppo_config)))["status"] == "preempted"
    resumed = train("parts", tasks.make(ppo_config))
    for same in ("params_sha256", "metrics", "step", "env_steps"):
        assert resumed[same] == whole[same]


@pytest.mark.parametrize("switches", [{"value_clip": 0.1}, {"gae_lambda": 1.0}])
def test_every_switch_trains(ppo_config, switches):
    ppo_config.update(switches | {"standardize_advantages": False})
    task, keys = tasks.make(ppo_config), streams.Keys(0)
    state = devices.init(task, keys.init)
    steps = devices.train_steps(task, state, 2)
    _, metrics = steps(state, None, devices.device_keys(keys.steps))
    assert all(np.isfinite(m).all() for m in metrics.values())
    assert (metrics["l2_updates"] > 0).all()
