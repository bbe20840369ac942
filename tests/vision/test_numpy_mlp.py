"""Every gradient against finite differences and `jax.grad`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlx import streams, tasks
from dlx.errors import UserError
from dlx.runtime import devices, loop
from dlx.vision import numpy_mlp

GENERATOR = np.random.default_rng(0)


def _differences(function, x, step=1e-6):
    """The gradient of a scalar function at x, by central differences, in float64."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        before, after = x.copy(), x.copy()
        before[index] -= step
        after[index] += step
        gradient[index] = (function(after) - function(before)) / (2 * step)
    return gradient


def test_linear():
    x, weights, bias, dy = (
        GENERATOR.normal(size=shape) for shape in ((5, 3), (3, 4), (4,), (5, 4))
    )
    y, cache = numpy_mlp.linear_forward(x, weights, bias)
    np.testing.assert_allclose(y[2, 1], x[2] @ weights[:, 1] + bias[1])
    gradients = numpy_mlp.linear_backward(dy, cache)
    arguments = [x, weights, bias]
    for number, gradient in enumerate(gradients):

        def loss(value, number=number):
            changed = [*arguments[:number], value, *arguments[number + 1 :]]
            return np.sum(dy * numpy_mlp.linear_forward(*changed)[0])

        np.testing.assert_allclose(
            gradient, _differences(loss, arguments[number]), atol=1e-8
        )


def test_relu():
    x, dy = GENERATOR.normal(size=(2, 5, 3))
    y, cache = numpy_mlp.relu_forward(x)
    np.testing.assert_array_equal(y, np.where(x < 0, 0, x))
    np.testing.assert_allclose(
        numpy_mlp.relu_backward(dy, cache),
        _differences(lambda x: np.sum(dy * numpy_mlp.relu_forward(x)[0]), x),
        atol=1e-8,
    )


def test_cross_entropy():
    logits, labels = 3 * GENERATOR.normal(size=(6, 4)), np.array([0, 1, 2, 3, 3, 0])
    loss, cache = numpy_mlp.cross_entropy_forward(logits, labels)
    expected = optax.softmax_cross_entropy_with_integer_labels(
        jnp.array(logits, jnp.float32), jnp.array(labels)
    )
    np.testing.assert_allclose(loss, np.mean(expected), rtol=1e-6)
    np.testing.assert_allclose(
        numpy_mlp.cross_entropy_backward(cache),
        _differences(lambda x: numpy_mlp.cross_entropy_forward(x, labels)[0], logits),
        atol=1e-8,
    )
    huge = np.array([[1e4, 0.0], [0.0, -1e4]])
    assert np.isfinite(numpy_mlp.cross_entropy_forward(huge, np.array([1, 0]))[0])


def test_the_whole_network():
    params = numpy_mlp.initial(GENERATOR, [7, 6, 5, 4])
    x = GENERATOR.normal(size=(8, 7)).astype("f4")
    labels = GENERATOR.integers(4, size=8)

    def loss(params):
        y = jnp.array(x)
        for weights, bias in params[:-1]:
            y = jax.nn.relu(y @ weights + bias[None])
        logits = y @ params[-1][0] + params[-1][1][None]
        return jnp.mean(
            optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array(labels))
        )

    value, gradients = jax.value_and_grad(loss)(jax.tree.map(jnp.array, params))
    loss_by_hand, by_hand = numpy_mlp.loss_and_gradients(params, x, labels)
    np.testing.assert_allclose(loss_by_hand, value, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(by_hand), jax.tree.leaves(gradients), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_momentum():
    params = numpy_mlp.initial(GENERATOR, [3, 2])
    velocity = [tuple(np.zeros_like(w) for w in layer) for layer in params]
    tx = optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.1, momentum=0.9))
    expected = jax.tree.map(jnp.array, params)
    opt_state = tx.init(expected)
    for _ in range(3):
        grads = [tuple(GENERATOR.normal(size=w.shape) for w in params[0])]
        params, velocity = numpy_mlp.momentum_step(
            params, velocity, grads, 0.1, 0.9, 0.01
        )
        updates, opt_state = tx.update(grads, opt_state, expected)
        expected = optax.apply_updates(expected, updates)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.fixture
def config():
    from configs import numpy_mnist

    config = numpy_mnist.get_config()
    config.dataset = "digits"
    config.features = (32,)
    config.num_steps, config.log_steps = 400, 50
    config.eval_steps = config.checkpoint_steps = 200
    return config


def test_two_devices_equal_one(config, same_everywhere):
    config.shift = 0
    task, keys = tasks.make(config), streams.Keys(0)
    state = devices.init(task, keys.init)
    first = jax.tree.map(np.array, state)  # a copy, because the state is donated
    steps = devices.train_steps(task, state, 3)
    source = task.batches.source(3)
    state, _ = steps(state, source, devices.device_keys(keys.steps))
    same_everywhere(state)

    # Whole batches by hand. Without shifts and flips, keys do not matter.
    params, velocity = first.params, first.velocity
    whole = jax.vmap(
        task.batches.batch, (None, None), axis_name=devices.AXIS, axis_size=2
    )
    for step in range(3):
        batch = whole(source, jnp.int32(step))
        x = np.asarray(first.scale(batch["images"])).reshape(config.batch_size, -1)
        labels = np.asarray(batch["labels"]).ravel()
        _, grads = numpy_mlp.loss_and_gradients(params, x, labels)
        rate = config.learning_rate * (1 - step / config.num_steps)
        params, velocity = numpy_mlp.momentum_step(
            params, velocity, grads, rate, config.momentum, config.weight_decay
        )
    for a, b in zip(
        jax.tree.leaves(params), jax.tree.leaves(state.params), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_it_learns_digits_and_resumes_exactly(config, terminating, tmp_path):
    task = tasks.make(config)
    whole = loop.train(task, config, tmp_path / "whole", name="whole")
    assert whole["metrics"]["accuracy"] > 94
    assert {p.name for p in (tmp_path / "whole" / "figures").iterdir()} == {
        "confusion.png",
        "mistakes.png",
        "filters.png",
        "learning_curve.png",
    }
    cut = terminating(tasks.make(config))
    first = loop.train(cut, config, tmp_path / "cut", name="cut")
    assert first["status"] == "preempted" and first["step"] == 200
    again = loop.train(tasks.make(config), config, tmp_path / "cut", name="cut")
    assert again["params_sha256"] == whole["params_sha256"]


def test_layers_without_width_are_a_user_error(config):
    config.features = (0,)
    with pytest.raises(UserError, match="features must be a row of entries"):
        tasks.make(config)
