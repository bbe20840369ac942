"""Every algorithm learns the five probes: values where there is nothing to choose."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from dlx import streams, tasks
from dlx.runtime import devices
from tests.envs import probes

DISCOUNT = 0.5


def _config(algorithm, fields):
    config = ml_collections.ConfigDict(
        {
            "task": "policy_gradient", "seed": 0, "num_envs": 32, "rollout_steps": 4,
            "network": "mlp", "features": (16,), "channels": (), "discount": DISCOUNT,
            "learning_rate": 3e-2, "max_grad_norm": 10.0, "num_steps": 200,
            "eval_episodes": 64, "epochs": 2, "minibatches": 2, "dueling": False,
            "epsilon_start": 1.0, "epsilon_end": 0.1, "epsilon_steps": 40,
        }
    )  # fmt: skip
    config.env = {"name": "tests.envs.probes.Probe", **fields}
    if algorithm == "pqn":
        config.update(task="pqn", q_lambda=0.5, layer_norm=True)
    elif algorithm.startswith("dqn"):
        config.update(
            task="dqn", double=True, n_step=1, huber=0.0, target_rate=0.1,
            target_steps=1, replay_size=4096, batch_size=64, updates=2, alpha=0.6,
            beta=0.4, prioritized=algorithm == "dqn prioritised",
        )  # fmt: skip
    else:
        config.update(
            algorithm=algorithm, gae_lambda=0.9, baseline=True, value_cost=0.5,
            standardize_advantages=True, entropy_cost=0.01, clip_epsilon=0.2,
            value_clip=0.0,
        )  # fmt: skip
    return config


@pytest.mark.parametrize("name", probes.PROBES)
@pytest.mark.parametrize(
    "algorithm",
    [
        *("a2c", "ppo", "pqn", "dqn prioritised"),
        pytest.param("reinforce", marks=pytest.mark.slow),
        pytest.param("dqn", marks=pytest.mark.slow),
    ],
)
def test_probe(algorithm, name):
    fields, best = probes.PROBES[name]
    config = _config(algorithm, fields)
    task, keys = tasks.make(config), streams.Keys(0)
    state = devices.init(task, keys.init)
    steps = devices.train_steps(task, state, config.num_steps)
    state, _ = steps(state, None, devices.device_keys(keys.steps))
    state = devices.first_copy(task, state)
    if best is not None:
        measured = task.evaluate(state, jax.random.key(1))
        assert measured["episode_return"] == best
    if fields.get("num_actions") == 1:
        # The value is 1, the signal, or the delayed reward discounted by what is left.
        module = tasks.module(config)
        _, network = module.agent(config)
        output = network.apply(state.params, jnp.array([[-1.0], [0.0], [1.0]]))
        values = output[1] if isinstance(output, tuple) else output[:, 0]
        expected = {
            "one action, one state": {1: 1.0},
            "reward by observation": {0: -1.0, 2: 1.0},
            "reward after a delay": {1: DISCOUNT, 2: 1.0},
        }[name]
        for place, value in expected.items():
            np.testing.assert_allclose(values[place], value, atol=0.1)
