"""PQN against plain computations and rlax; devices against one; resume."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import streams, tasks
from dlx.errors import UserError
from dlx.rl import evaluation, pqn, returns, rollouts
from dlx.runtime import devices, loop


@pytest.fixture
def config():
    from configs import pqn_rocks16

    config = pqn_rocks16.get_config()
    config.env.size, config.env.sparse = 6, False
    config.update(
        num_envs=8, rollout_steps=5, features=(8,), epochs=2, minibatches=2,
        num_steps=4, log_steps=2, eval_steps=2, checkpoint_steps=2, eval_episodes=2,
    )  # fmt: skip
    return config


@pytest.fixture
def played():
    """Rewards, values and discounts [time, env] with episodes that end on the way."""
    random = np.random.default_rng(0)
    rewards = random.normal(size=(9, 3)).astype(np.float32)
    values = random.normal(size=(10, 3)).astype(np.float32)
    discounts = 0.9 * (random.random((9, 3)) > 0.3).astype(np.float32)
    return rewards, values, discounts


@pytest.mark.parametrize("lambda_", [0.0, 0.65, 1.0])
def test_lambda_returns_are_the_average_of_n_step_returns(played, lambda_):
    rewards, values, discounts = played
    expected = np.zeros_like(rewards)
    for t in range(9):
        n_step, weight, total = [], np.ones(3), np.zeros(3)
        for later in range(t, 9):
            total = total + weight * rewards[later]
            weight = weight * discounts[later]
            n_step.append(total + weight * values[later + 1])
        shares = [(1 - lambda_) * lambda_**n for n in range(len(n_step) - 1)]
        shares.append(lambda_ ** (len(n_step) - 1))
        expected[t] = sum(s * g for s, g in zip(shares, n_step, strict=True))
    found = returns.lambda_returns(rewards, values, discounts, lambda_)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lambda_", [0.0, 0.65, 1.0])
def test_lambda_returns_are_rlaxs(played, lambda_):
    rlax = pytest.importorskip("rlax", reason="rlax is not installed")
    rewards, values, discounts = played
    expected = jax.vmap(rlax.lambda_returns, (1, 1, 1, None), 1)(
        *map(jnp.asarray, (rewards, discounts, values[1:])), lambda_
    )
    found = returns.lambda_returns(rewards, values, discounts, lambda_)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_an_epoch_sees_every_step_once():
    batch = jnp.arange(12).reshape(3, 4), jnp.arange(12).reshape(3, 4) * 10

    def update(seen, minibatch):
        steps, tens = minibatch
        assert steps.shape == (4,)
        return seen.at[steps].add(1), {"same": jnp.all(steps * 10 == tens)}

    seen, metrics = rollouts.over_epochs(
        update, jnp.zeros(12, int), batch, jax.random.key(0), 5, 3
    )
    np.testing.assert_array_equal(seen, 5)
    assert metrics["same"] == 1


def _step(config, state, device_keys):
    """A training step of all devices' games as one batch, without a minibatch."""
    env, network = pqn.agent(config)
    tx = tasks.module(config).evaluation.make_optimizer(config, 1)
    total, count = None, 0
    for device, key in enumerate(device_keys):
        own = jax.device_get(
            state.replace(
                **{
                    field: jax.tree.map(lambda x, d=device: x[d], getattr(state, field))
                    for field in ("envs", "returns", "last_returns")
                }
            )
        )
        play_key, _ = jax.random.split(jax.random.fold_in(key, 0))
        after, played = pqn.make_rollout(config, env, network)(
            own.params, own, play_key
        )
        observations = [
            env.observe(jax.tree.map(lambda x, t=t: x[t], played.envs))
            for t in range(5)
        ]
        q = [
            network.apply(own.params, x)
            for x in [*observations, env.observe(after.envs)]
        ]
        # Q(lambda) by its recursion, a step at a time.
        target, targets = jnp.max(q[-1], axis=-1), []
        for t in reversed(range(5)):
            best = jnp.max(q[t + 1], axis=-1)
            mixed = config.q_lambda * target + (1 - config.q_lambda) * best
            target = played.rewards[t] + played.discounts[t] * mixed
            targets.append(target)

        def loss(params, played=played, observations=observations, targets=targets):
            errors = [
                network.apply(params, x)[jnp.arange(len(a)), a] - g
                for x, a, g in zip(
                    observations, played.actions, targets[::-1], strict=True
                )
            ]
            return 0.5 * jnp.mean(jnp.square(jnp.stack(errors)))

        grads = jax.grad(loss)(own.params)
        total = grads if total is None else jax.tree.map(jnp.add, total, grads)
        count += 1
    params = jax.device_get(state.params)
    grads = jax.tree.map(lambda g: g / count, total)
    updates, _ = tx.update(grads, tx.init(params), params)
    return jax.tree.map(jnp.add, params, updates), grads


def test_devices_give_the_update_of_one(config, same_everywhere):
    config.update(epochs=1, minibatches=1, num_steps=1, epsilon_start=0.5)
    task, keys = tasks.make(config), streams.Keys(0)
    state = devices.init(task, keys.init)
    expected, grads = _step(config, state, devices.device_keys(streams.Keys(0).steps))
    steps = devices.train_steps(task, state, 1)
    after, _ = steps(state, None, devices.device_keys(keys.steps))
    same_everywhere(after.params)
    # Adam's first update is the gradient's sign: only where there is one to speak of.
    jax.tree.map(
        lambda a, b, g: np.testing.assert_allclose(
            np.where(np.abs(g) > 1e-6, a - b, 0), 0, atol=1e-3 * config.learning_rate
        ),
        jax.device_get(after.params),
        expected,
        grads,
    )


def test_a_run_that_was_stopped_ends_as_one_that_was_not(config, terminating, tmp_path):
    def train(folder, task):
        return loop.train(task, config, tmp_path / folder, name="test")

    whole = train("whole", tasks.make(config))
    assert train("parts", terminating(tasks.make(config)))["status"] == "preempted"
    resumed = train("parts", tasks.make(config))
    for same in ("params_sha256", "metrics", "step", "env_steps"):
        assert resumed[same] == whole[same]


def test_sparse_observations_train_alike(config):
    trained = []
    for config.env.sparse in (False, True):
        task, keys = tasks.make(config), streams.Keys(0)
        state = devices.init(task, keys.init)
        steps = devices.train_steps(task, state, 1)
        state, _ = steps(state, None, devices.device_keys(keys.steps))
        trained.append(jax.device_get(state.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), *trained)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_lit_pixels_are_for_fully_connected_networks(config, network):
    config.network, config.env.sparse = network, True
    env = evaluation.make_env(config)
    observed = env.observe(env.reset(jax.random.key(0), 2))
    assert hasattr(observed, "todense") == (network == "mlp")
    tasks.make(config)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"minibatches": 3}, "minibatches=3 does not divide the 20 steps"),
        ({"rollout_steps": 10**9}, "has more than the maximum of 2147483647 steps"),
        ({"q_lambda": 1.5}, "q_lambda must be a finite number, at least 0"),
        ({"epochs": 0}, "epochs must be an integer"),
    ],
)
def test_configs_that_make_no_agent(config, settings, why):
    config.update(settings)
    with pytest.raises(UserError, match=why):
        tasks.make(config)
