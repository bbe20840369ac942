"""Airbench: its parts by hand, and digits learnt with all of them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import devices as parallel
from dlx.runtime import loop
from dlx.vision import airbench
from dlx.vision import airbench_network as models


@pytest.fixture
def config():
    from configs import airbench_cifar10

    config = airbench_cifar10.get_config()
    config.dataset, config.flip, config.shift = "digits", "never", 1
    config.widths, config.batch_size = (16, 32), 256
    config.num_steps, config.log_steps, config.whiten_bias_steps = 230, 10, 60
    config.eval_steps = config.checkpoint_steps = 230
    return config


def test_whitened_patches_have_no_covariance():
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(3, 3))
    images = (generator.normal(size=(50, 12, 12, 3)) @ mixing).astype("f4")
    images += images[:, :, ::-1]  # neighbours that go together, too
    kernel = models.whitening(images, 2, epsilon=0.0)
    assert kernel.shape == (2, 2, 3, 24) and kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])
    outputs = jax.lax.conv_general_dilated(
        images,
        kernel[..., :12],
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    outputs = np.asarray(outputs).reshape(-1, 12)
    np.testing.assert_allclose(
        outputs.T @ outputs / len(outputs), np.eye(12), atol=1e-3
    )


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 7), (7, 4)])
def test_the_first_filters_pass_their_input_on(inputs, outputs):
    kernel = models.partial_identity(jax.random.key(0), (3, 3, inputs, outputs))
    x = jax.random.normal(jax.random.key(1), (2, 5, 6, inputs))
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    kept = min(inputs, outputs)
    np.testing.assert_allclose(y[..., :kept], x[..., :kept], atol=1e-6)
    others = kernel[..., kept:]
    assert others.size == 0 or np.abs(others).max() < 1 / np.sqrt(9 * inputs)


def test_views_are_the_image_its_neighbours_and_their_mirror_images():
    images = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    views = models.views(images)
    assert sum(weight for weight, _ in views) == 1
    for (weight, view), (mirrored_weight, mirrored) in zip(
        views[:3], views[3:], strict=True
    ):
        assert weight == mirrored_weight
        np.testing.assert_array_equal(view[:, :, ::-1], mirrored)
    np.testing.assert_array_equal(views[0][1], images)
    np.testing.assert_array_equal(views[1][1][:, 1:, 1:], images[:, :-1, :-1])
    np.testing.assert_array_equal(views[2][1][:, :-1, :-1], images[:, 1:, 1:])


def test_the_schedule():
    steps = np.array([0, 23, 46, 123, 200])
    rates = [float(airbench.triangle(step, 200)) for step in steps]
    np.testing.assert_allclose(rates, [0.2, 0.6, 1.0, 0.535, 0.07], rtol=1e-6)


def test_the_optimizer_is_nesterov_sgd_by_hand(config):
    params = {
        "whiten": {"kernel": jnp.array([1.0]), "bias": jnp.array([2.0])},
        "Group_0": {"BatchNorm_0": {"bias": jnp.array([3.0])}},
        "Dense_0": {"kernel": jnp.array([4.0])},
    }
    config.num_steps, config.whiten_bias_steps = 20, 5
    tx = airbench.make_optimizer(config, params)
    scale = 1024 * (1 + 1 / (1 - 0.85))
    rate, decay = 11.5 / scale, 0.0153 * config.batch_size / scale
    # Of each that moves: its rate, until when, its value, its velocity.
    by_hand = [[rate, 5, 2.0, 0.0], [64 * rate, 20, 3.0, 0.0], [rate, 20, 4.0, 0.0]]
    state = tx.init(params)
    for step in range(20):
        grads = jax.tree.map(lambda w, n=step: jnp.sin(w + n), params)
        updates, state = tx.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        for row in by_hand:
            own, until, w, velocity = row
            gradient = np.sin(w + step) + decay / own * w
            velocity = 0.85 * velocity + gradient
            now = float(airbench.triangle(step, 20)) if step < until else 0.0
            row[2:] = w - own * now * (gradient + 0.85 * velocity), velocity
    moved = [
        params["whiten"]["bias"],
        params["Group_0"]["BatchNorm_0"]["bias"],
        params["Dense_0"]["kernel"],
    ]
    ours = [float(w[0]) for w in moved]
    np.testing.assert_allclose(ours, [row[2] for row in by_hand], rtol=1e-4)
    assert params["whiten"]["kernel"] == 1.0, "frozen"


def test_lookahead_by_hand():
    fast, slow = jnp.array([1.0]), jnp.array([3.0])
    for step in (1, 4, 6):
        kept = airbench.lookahead(fast, slow, jnp.int32(step), 10)
        assert (float(kept[0][0]), float(kept[1][0])) == (1.0, 3.0)
    renewed = airbench.lookahead(fast, slow, jnp.int32(5), 10)
    decay = 0.95**5 / 8
    assert renewed[0] == renewed[1]
    np.testing.assert_allclose(renewed[0], 3 * decay + 1 - decay, rtol=1e-6)


def test_two_devices_end_where_one_ends(config):
    config.shift = 0
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    generator = np.random.default_rng(0)
    batch = {
        "images": jnp.array(generator.integers(256, size=(256, 8, 8, 1)), jnp.uint8),
        "labels": jnp.array(generator.integers(10, size=256)),
    }

    def train(devices):
        split = jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), batch)
        step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=parallel.AXIS))
        return jax.tree.map(lambda x: x[0], step(state, split, jax.random.key(0))[0])

    one, two = train(1), train(2)
    chex.assert_trees_all_close(one.params, two.params, atol=1e-5)
    chex.assert_trees_all_close(one.batch_stats, two.batch_stats, atol=1e-5)


def test_digits_are_learnt(config, tmp_path):
    summary = loop.train(tasks.make(config), config, tmp_path, name="digits")
    assert summary["metrics"]["accuracy"] > 95
    pictures = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"confusion", "mistakes", "filters", "learning_curve"} <= pictures


def test_only_the_arithmetic_is_bfloat16():
    kernel = models.whitening(np.random.default_rng(0).random((9, 8, 8, 1), "f4"), 2)
    networks = [
        models.Airbench(10, kernel, 1, (16,), dtype=d)
        for d in (jnp.float32, jnp.bfloat16)
    ]
    x = jax.random.normal(jax.random.key(0), (32, 8, 8, 1))
    variables = networks[1].init(jax.random.key(1), x, train=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("f4")}
    exact, rough = (
        network.apply(variables, x, train=True, mutable=["batch_stats"])
        for network in networks
    )
    chex.assert_trees_all_equal_dtypes(exact, rough)
    chex.assert_trees_all_close(exact, rough, atol=0.05)
    assert np.any(exact[0] != rough[0])


def test_another_dtype_is_refused(config):
    config.dtype = "float8"
    with pytest.raises(UserError, match="is 'float8'; choose one of"):
        tasks.make(config)


def test_images_that_are_too_small_are_refused(config):
    config.widths = (8, 16, 16)
    with pytest.raises(UserError, match="7 pixels, to nothing"):
        tasks.make(config)
