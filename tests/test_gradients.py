"""Gradients of micro-batches equal those of the whole batch."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import gradients, tasks
from dlx.errors import UserError
from dlx.runtime import devices


def test_a_mean_over_micro_batches_is_the_mean():
    def loss(params, batch, key):
        del key
        x, y = batch
        error = jnp.tanh(x @ params) - y
        return jnp.mean(error**2), {"error": jnp.mean(jnp.abs(error))}

    x = jax.random.normal(jax.random.key(0), (12, 3))
    inputs = jnp.ones(3), (x, jnp.arange(12.0) / 12)
    whole = gradients.value_and_grad(loss)(*inputs, jax.random.key(1))
    for number in (2, 3, 12):
        parts = gradients.value_and_grad(loss, number)(*inputs, jax.random.key(1))
        chex.assert_trees_all_close(parts, whole, rtol=1e-5, atol=1e-7)


def _config(name):
    if name == "flow":
        from configs import flow_digits

        config = flow_digits.get_config()
        config.reference_classifier, config.widths, config.patch = False, (8,), 2
    elif name == "iwae":
        from configs import iwae_mnist

        config = iwae_mnist.get_config()
        config.dataset, config.latents = "digits", 4
        config.features, config.channels, config.samples = (8,), (), 3
    elif name == "language":
        from configs import lm_text

        config = lm_text.get_config()
        config.validation, config.widths = 8, (8,)
    else:
        from configs import mlp_mnist

        config = mlp_mnist.get_config()
        config.dataset, config.features = "digits", (16,)
        with config.ignore_type():
            config.network = {
                "mlp": "mlp",
                "vit": {"name": "vit", "width": 12, "depth": 1},
            }[name]
    config.batch_size, config.num_steps, config.warmup_steps = 16, 10, 0
    config.optimizer, config.learning_rate = "sgd", 0.1  # whose steps are the gradients
    return config


@pytest.mark.parametrize("name", ["mlp", "vit", "flow", "iwae", "language"])
def test_a_step_by_micro_batches_ends_where_a_whole_one_does(name):
    """On two devices, whose gradients are averaged once."""
    config, after = _config(name), {}
    for number in (1, 4):
        config.accumulate = number
        task = tasks.make(config)
        state = devices.init(task, jax.random.key(0))
        state = state.replace(params=jax.tree.map(lambda p: p + 0.01, state.params))
        steps = devices.train_steps(task, state, 2)
        keys = devices.device_keys(jax.random.key(1))
        with jax.debug_key_reuse(False):
            state, metrics = steps(state, task.batches.source(2), keys)
        after[number] = jax.device_get((state.params, metrics))
    (one, one_metrics), (four, four_metrics) = after[1], after[4]
    np.testing.assert_allclose(four_metrics["loss"], one_metrics["loss"], atol=1e-5)
    np.testing.assert_allclose(
        four_metrics["l2_grads"], one_metrics["l2_grads"], rtol=1e-4
    )
    chex.assert_trees_all_close(one, four, atol=1e-5)


def test_micro_batches_divide_a_devices_examples():
    config = _config("mlp")
    config.accumulate = 3
    with pytest.raises(UserError, match=r"accumulate=3 does not divide the 8 examples"):
        tasks.make(config)
