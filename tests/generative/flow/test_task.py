"""Flow matching: devices, labels, guidance, resuming, a distribution learnt."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.generative import modalities
from dlx.generative.flow import networks, paths
from dlx.generative.flow import task as flow
from dlx.runtime import devices, loop


@pytest.fixture
def config():
    from configs import flow_digits

    config = flow_digits.get_config()
    config.reference_classifier, config.conditional = False, True
    config.widths, config.patch, config.solver_steps = (16,), 2, 2
    config.batch_size = 8
    config.num_steps, config.log_steps, config.warmup_steps = 4, 1, 0
    config.eval_steps = config.checkpoint_steps = 2
    config.eval_samples = config.last_eval_samples = 8
    return config


def _network(config):
    modality = modalities.load(config)
    network = networks.make(config, modality)
    params = networks.init(network, jax.random.key(0), modality.shape)
    # A last layer of zeros predicts zeros.
    return modality, network, jax.tree.map(lambda p: p + 0.02, params)


def test_two_devices_equal_one(config):
    """With the noise fixed, the mean gradient is that of the whole batch."""
    _, network, params = _network(config)
    x = jax.random.normal(jax.random.key(1), (8, 8, 8, 1))
    labels = jnp.arange(8)
    config.label_dropout = 0.0
    loss, draw = paths.make_loss(config, network)
    keys = jax.random.split(jax.random.key(2), 2)

    def mean():
        losses = []
        for n in (0, 1):
            draw_key, dropout_key = jax.random.split(keys[n])
            inputs = draw(draw_key, x[4 * n :][:4], labels[4 * n :][:4])
            losses.append(loss(params, inputs, dropout_key)[0])
        return sum(losses) / 2

    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0)).replace(params=params)
    step = jax.jit(jax.vmap(task.step, (None, 0, 0), axis_name=devices.AXIS))
    images = jnp.uint8(jnp.round(127.5 * (jnp.clip(x, -1, 1) + 1)))
    x = images / 127.5 - 1
    batch = {"images": images.reshape(2, 4, 8, 8, 1), "labels": labels.reshape(2, 4)}
    with jax.debug_key_reuse(False):
        after, metrics = step(state, batch, keys)
    with jax.debug_key_reuse(False):
        expected = mean()
    np.testing.assert_allclose(jnp.mean(metrics["loss"]), expected, rtol=1e-4)
    first, second = (jax.tree.map(lambda a, n=n: a[n], after.params) for n in (0, 1))
    chex.assert_trees_all_equal(first, second)
    moved = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), state.params, first)
    assert min(jax.tree.leaves(moved)) > 0, "everything is trained"


def test_labels_and_guidance_change_samples(config):
    modality, network, params = _network(config)
    noise = jax.random.normal(jax.random.key(1), (4, 64))
    state = flow.State(jnp.int32(0), params, None, params)

    def samples(guidance, label):
        config.guidance = guidance
        made = flow.make_sampler(config, modality, network)
        labels = jnp.full(4, label)
        forming = made._forming(state, noise, labels, None)
        np.testing.assert_array_equal(
            forming[-1], made._generate(state, noise, labels, None)
        )
        assert forming.shape == (3, 4, 8, 8, 1) and jnp.max(jnp.abs(forming)) <= 1
        return np.asarray(forming[-1])

    plain = samples(1.0, 3)
    assert np.any(plain != samples(1.0, 4))
    assert np.any(plain != samples(2.0, 3))
    # A guidance of 0 ignores the label.
    np.testing.assert_array_equal(samples(0.0, 3), samples(0.0, 4))
    none = samples(0.0, 3)
    np.testing.assert_allclose(none, samples(1.0, network.num_classes), atol=1e-6)


def test_a_run_interrupted_resumes_exactly_and_draws(config, terminating, tmp_path):
    whole = loop.train(tasks.make(config), config, tmp_path / "whole", name="whole")
    cut = terminating(tasks.make(config))
    first = loop.train(cut, config, tmp_path / "cut", name="cut")
    assert first["status"] == "preempted" and first["step"] == 2
    again = loop.train(tasks.make(config), config, tmp_path / "cut", name="cut")
    assert again["params_sha256"] == whole["params_sha256"]
    names = {path.name for path in (tmp_path / "whole/figures").iterdir()}
    assert names >= {
        "sheet.png", "forming.gif", "training.gif", "interpolation.png",
        "neighbours.png",
    }  # fmt: skip


def test_levels_see_the_whole_image():
    """One pixel changes the velocity everywhere, by way of the smallest level."""
    network = networks.UNet(1, widths=(8, 8, 8), heads=0)
    params = networks.init(network, jax.random.key(0), (16, 16, 1))
    params = jax.tree.map(lambda p: p + 0.05, params)
    x = jnp.zeros((1, 16, 16, 1))
    time, labels = jnp.full(1, 0.5), jnp.zeros(1, jnp.int32)
    apply = jax.jit(
        lambda x: network.apply({"params": params}, x, time, labels, train=False)
    )
    change = np.abs(apply(x.at[0, 0, 0, 0].set(5.0)) - apply(x))[0, :, :, 0]
    assert change.shape == (16, 16) and change.min() > 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("widths", (12,), "must be multiples of 8"),
        ("widths", (8,) * 5, "whose sides are multiples of 32, got 8x8"),
        ("solver", "rk4", "config.solver must be one of: 'euler', 'heun', got 'rk4'"),
    ],
)
def test_invalid_fields_are_one_line(field, value, message, config):
    config[field] = value
    with pytest.raises(UserError, match=message):
        tasks.make(config)
