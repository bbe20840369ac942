"""The networks of agents, in either precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.rl import networks
from dlx.runtime import loop


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("head", [networks.ActorCritic, networks.QNetwork])
def test_bfloat16_is_used_inside_and_float32_outside(name, head):
    def make(dtype):
        torso = networks.make_torso(
            name, features=(64, 64), channels=(8,), layer_norm=True, dtype=dtype
        )
        return head(torso, 3)

    observations = jax.random.uniform(jax.random.key(0), (32, 8, 8, 1))
    params = make(None).init(jax.random.key(1), observations)
    low = make(jnp.bfloat16)
    for leaf in jax.tree.leaves(low.init(jax.random.key(1), observations)):
        assert leaf.dtype == jnp.float32
    outputs = [
        np.concatenate(
            [np.ravel(x) for x in jax.tree.leaves(n.apply(params, observations))]
        )
        for n in (make(None), make(jnp.float32), low)
    ]
    exact, same, rounded = outputs
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(exact, same)
    error = np.abs(rounded - exact).max() / np.abs(exact).max()
    assert 1e-5 < error < 0.05


def test_an_agent_trains_in_bfloat16(tmp_path):
    from configs import pg_rocks8

    config = pg_rocks8.get_config()
    config.dtype = "bfloat16"
    summary = loop.train(tasks.make(config), config, tmp_path, name="bfloat16")
    assert summary["metrics"]["perfect_starts"] >= 60
