"""Classifiers: loss by hand, equal results on all devices, resuming, digits learnt."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import devices, loop
from dlx.vision import classifier, evaluation


@pytest.fixture
def config():
    from configs import cnn_mnist

    config = cnn_mnist.get_config()
    config.dataset = "digits"
    config.channels, config.features = (4, 8), (16,)
    config.num_steps, config.log_steps = 40, 5
    config.eval_steps = config.checkpoint_steps = 20
    config.warmup_steps = 10
    return config


def test_smoothed_cross_entropy_by_hand():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    labels = jnp.array([0, 1])
    plain = classifier.cross_entropy(logits, labels, 0.0)
    np.testing.assert_allclose(plain, -np.log([0.5, 0.8]), rtol=1e-6)
    smooth = classifier.cross_entropy(logits, labels, 0.3)
    by_hand = -(0.8 * np.log(0.5) + 0.1 * np.log(0.25) + 0.1 * np.log(0.25))
    np.testing.assert_allclose(smooth[0], by_hand, rtol=1e-6)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_two_devices_equal_one(network, config):
    """Batch normalisation uses statistics of the whole batch."""
    config.network, config.dropout, config.shift = network, 0.0, 0
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    generator = np.random.default_rng(0)
    images = jnp.array(generator.integers(256, size=(8, 8, 8, 1)), jnp.uint8)
    batch = {"images": images, "labels": jnp.array(generator.integers(10, size=8))}

    def train(number):
        split = jax.tree.map(lambda x: x.reshape(number, -1, *x.shape[1:]), batch)
        step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=devices.AXIS))
        after = state
        for seed in range(3):
            key = jax.random.key(seed)
            after = jax.tree.map(lambda x: x[0], step(after, split, key)[0])
        return after

    one, two = train(1), train(2)
    chex.assert_trees_all_close(one.params, two.params, atol=2e-4)
    chex.assert_trees_all_close(one.batch_stats, two.batch_stats, atol=1e-5)
    moved = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), state.params, one.params)
    assert min(jax.tree.leaves(moved)) > 0, "everything is trained"


def test_the_average_follows_the_weights(config):
    config.ema_decay, config.dropout = 0.5, 0.0
    task = tasks.make(config)
    step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=devices.AXIS))
    state, expected = jax.jit(task.init)(jax.random.key(0)), None
    images = jnp.zeros((1, 4, 8, 8, 1), jnp.uint8)
    batch = {"images": images, "labels": jnp.zeros((1, 4), jnp.int32)}
    for number in range(12):
        key = jax.random.key(number)
        state = jax.tree.map(lambda x: x[0], step(state, batch, key)[0])
        decay = min(0.5, number / (number + 10))
        new = jax.tree.leaves(state.params)[0]
        expected = new if expected is None else decay * expected + (1 - decay) * new
    average = jax.tree.leaves(state.average["params"])[0]
    np.testing.assert_allclose(average, expected, atol=1e-6)


@pytest.mark.parametrize("changes", [{"shift": 2}, {"rotation": 45.0, "zoom": 0.3}])
def test_training_images_keep_their_content(changes, config):
    config.update(changes)
    data = evaluation.Data(config)
    images = jnp.array(data.test.images[:50])
    plain = data.scale(images)
    assert abs(float(jnp.mean(plain))) < 0.1 and abs(float(jnp.std(plain)) - 1) < 0.1
    moved = np.asarray(data.prepare(jax.random.key(0), {"images": images}, data.scale))
    assert np.isclose(moved, plain, atol=0.1).all((1, 2, 3)).mean() < 0.3
    black = float(data.scale(jnp.zeros((1, 1, 1, 1), jnp.uint8))[0, 0, 0, 0])
    rims = moved[:, 0]  # are filled with black, not grey
    assert np.mean(np.isclose(rims, black)) > 0.5 and moved.min() > black - 1e-5


@pytest.mark.parametrize("streamed", [False, True])
def test_a_run_interrupted_in_an_epoch_resumes_exactly(
    streamed, config, terminating, tmp_path
):
    config.streamed = streamed
    whole = loop.train(tasks.make(config), config, tmp_path / "whole", name="whole")

    cut = terminating(tasks.make(config))
    first = loop.train(cut, config, tmp_path / "cut", name="cut")
    assert first["status"] == "preempted" and first["step"] == 20
    again = loop.train(tasks.make(config), config, tmp_path / "cut", name="cut")
    assert again["params_sha256"] == whole["params_sha256"]
    assert again["metrics"] == whole["metrics"]


def test_digits_are_learnt(config, tmp_path):
    config.num_steps, config.eval_steps, config.log_steps = 300, 300, 50
    config.checkpoint_steps = 300
    config.channels, config.shift = (8, 16), 1
    summary = loop.train(tasks.make(config), config, tmp_path, name="digits")
    assert summary["metrics"]["accuracy"] > 94


def test_evaluation_by_hand():
    class Fake:
        test = evaluation.sources.load("digits", "test")
        num_classes = 10

    labels = Fake.test.labels
    pairs = zip(Fake.test.images, labels, strict=True)
    known = {image.tobytes(): label for image, label in pairs}

    def logits(state, images):
        right = np.array([known[image.tobytes()] for image in images])
        return 5.0 * np.eye(10, dtype="f4")[np.where(right == state, 0, right)]

    evaluate = evaluation.make_evaluate(Fake(), logits)
    figures = evaluation.make_figures(Fake(), logits, lambda _: _filters())
    numbers = evaluate(7, None)  # classifies every 7 as a 0
    wrong = np.mean(labels == 7)
    np.testing.assert_allclose(numbers["accuracy"], 100 * (1 - wrong), rtol=1e-5)
    np.testing.assert_allclose(numbers["error_rate"], 100 * wrong, rtol=1e-4)
    sure = 5 - np.log(np.exp(5) + 9)
    nll = -(1 - wrong) * sure - wrong * (sure - 5)
    np.testing.assert_allclose(numbers["nll"], nll, rtol=1e-4)
    assert set(figures(7, None)) == {"confusion", "mistakes", "filters"}
    assert set(figures(-1, None)) == {"confusion", "filters"}, "no mistakes to show"


def _filters():
    return np.random.default_rng(0).normal(size=(3, 3, 1, 9))


def test_an_unknown_network_is_a_user_error(config):
    config.network = "rnn"
    with pytest.raises(UserError, match=r"config.network is 'rnn'; choose one of: mlp"):
        tasks.make(config)


@pytest.mark.parametrize("warmup", [40, 50])
def test_a_run_that_ends_in_the_warm_up_is_an_error_before_data_are_read(
    warmup, config, monkeypatch
):
    config.warmup_steps = warmup
    monkeypatch.setattr(evaluation, "Data", lambda config: pytest.fail("read"))
    with pytest.raises(UserError, match=r"num_steps=40 leaves no step after .*warmup"):
        tasks.make(config)


def _side_by_side(config, *seeds):
    """Trains seeds for three steps; returns their parameters and evaluation."""
    config.seeds = seeds
    task = tasks.make(config)
    state = devices.init(task, jax.random.key(0))
    steps = devices.train_steps(task, state, 3)
    keys = devices.device_keys(jax.random.key(1))
    with jax.debug_key_reuse(False):
        state, _ = steps(state, task.batches.source(3), keys)
        numbers = task.evaluate(devices.first_copy(task, state), jax.random.key(2))
    return state.params["params"], numbers


def test_a_seed_trained_beside_another_equals_it_alone(config):
    """This includes the order of its images, and which of them are mirrored."""
    config.network, config.flip, config.seed = "mlp", "alternating", 9
    together, numbers = _side_by_side(config, 4, 7)
    assert {"accuracy/4", "accuracy/7", "accuracy"} <= set(numbers)
    for place, seed in enumerate((4, 7)):
        alone, apart = _side_by_side(config, seed)
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, n=place: x[n], together),
            jax.tree.map(lambda x: x[0], alone),
            atol=1e-5,
        )
        np.testing.assert_allclose(
            apart["accuracy"], numbers[f"accuracy/{seed}"], atol=1e-3
        )
