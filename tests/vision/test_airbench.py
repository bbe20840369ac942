"""Airbench: its parts by hand, and digits learnt."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import devices, loop
from dlx.vision import airbench_network as network
from dlx.vision import airbench_optimizer as optimizer


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
    images += images[:, :, ::-1]  # correlates neighbours
    kernel = network.whitening(images, 2, epsilon=0.0)
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
def test_the_first_filters_are_the_identity(inputs, outputs):
    kernel = network.partial_identity(jax.random.key(0), (3, 3, inputs, outputs))
    x = jax.random.normal(jax.random.key(1), (2, 5, 6, inputs))
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    number = min(inputs, outputs)
    np.testing.assert_allclose(y[..., :number], x[..., :number], atol=1e-6)
    random = kernel[..., number:]
    assert random.size == 0 or np.abs(random).max() < 1 / np.sqrt(9 * inputs)


def test_views_are_shifted_and_mirrored_images():
    images = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    views = network.views(images)
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
    rates = [float(optimizer.triangle(step, 200)) for step in steps]
    np.testing.assert_allclose(rates, [0.2, 0.6, 1.0, 0.535, 0.07], rtol=1e-6)


def test_the_optimizer_is_nesterov_sgd_by_hand(config):
    params = {
        "whiten": {"kernel": jnp.array([1.0]), "bias": jnp.array([2.0])},
        "Group_0": {"BatchNorm_0": {"bias": jnp.array([3.0])}},
        "Dense_0": {"kernel": jnp.array([4.0])},
    }
    config.num_steps, config.whiten_bias_steps = 20, 5
    tx = optimizer.make_optimizer(config, params)
    scale = 1024 * (1 + 1 / (1 - 0.85))
    rate, decay = 11.5 / scale, 0.0153 * config.batch_size / scale
    # Rate, last step, value and velocity of each trained parameter.
    by_hand = [[rate, 5, 2.0, 0.0], [64 * rate, 20, 3.0, 0.0], [rate, 20, 4.0, 0.0]]
    state = tx.init(params)
    for step in range(20):
        grads = jax.tree.map(lambda w, n=step: jnp.sin(w + n), params)
        updates, state = tx.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        for row in by_hand:
            base, until, w, velocity = row
            gradient = np.sin(w + step) + decay / base * w
            velocity = 0.85 * velocity + gradient
            factor = float(optimizer.triangle(step, 20)) if step < until else 0.0
            row[2:] = w - base * factor * (gradient + 0.85 * velocity), velocity
    trained = [
        params["whiten"]["bias"],
        params["Group_0"]["BatchNorm_0"]["bias"],
        params["Dense_0"]["kernel"],
    ]
    values = [float(w[0]) for w in trained]
    np.testing.assert_allclose(values, [row[2] for row in by_hand], rtol=1e-4)
    assert params["whiten"]["kernel"] == 1.0, "frozen"


def test_lookahead_by_hand():
    fast, slow = jnp.array([1.0]), jnp.array([3.0])
    for step in (1, 4, 6):
        unchanged = optimizer.lookahead(fast, slow, jnp.int32(step), 10)
        assert (float(unchanged[0][0]), float(unchanged[1][0])) == (1.0, 3.0)
    updated = optimizer.lookahead(fast, slow, jnp.int32(5), 10)
    decay = 0.95**5 / 8
    assert updated[0] == updated[1]
    np.testing.assert_allclose(updated[0], 3 * decay + 1 - decay, rtol=1e-6)


def test_two_devices_equal_one(config):
    config.shift = 0
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    generator = np.random.default_rng(0)
    batch = {
        "images": jnp.array(generator.integers(256, size=(256, 8, 8, 1)), jnp.uint8),
        "labels": jnp.array(generator.integers(10, size=256)),
    }

    def train(number):
        split = jax.tree.map(lambda x: x.reshape(number, -1, *x.shape[1:]), batch)
        step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=devices.AXIS))
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
    kernel = network.whitening(np.random.default_rng(0).random((9, 8, 8, 1), "f4"), 2)
    networks = [
        network.Airbench(10, kernel, 1, (16,), dtype=d)
        for d in (jnp.float32, jnp.bfloat16)
    ]
    x = jax.random.normal(jax.random.key(0), (32, 8, 8, 1))
    variables = networks[1].init(jax.random.key(1), x, train=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("f4")}
    exact, rough = (
        module.apply(variables, x, train=True, mutable=["batch_stats"])
        for module in networks
    )
    chex.assert_trees_all_equal_dtypes(exact, rough)
    chex.assert_trees_all_close(exact, rough, atol=0.05)
    assert np.any(exact[0] != rough[0])


def test_an_unknown_dtype_is_a_user_error(config):
    config.dtype = "float8"
    with pytest.raises(UserError, match=r"must be one of: .*, got 'float8'"):
        tasks.make(config)


def test_too_many_groups_are_a_user_error(config):
    config.widths = (8, 16, 16)
    with pytest.raises(
        UserError, match=r"config, digits: .*patch of 2 leaves 7 pixels"
    ):
        tasks.make(config)
