"""The images' scale: exact for any number of images, and saved with the run."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.data import sources
from dlx.runtime import loop, restore
from dlx.runtime.evaluate import evaluate
from dlx.vision import evaluation
from dlx.vision.evaluation import scale_of

DATA = pathlib.Path("../shared/data/tfds")


def test_a_scale_by_hand():
    images = np.zeros((2, 1, 2, 2), np.uint8)
    images[..., 0] = [[[0, 51]], [[204, 255]]]
    images[..., 1] = 51
    scale = scale_of(images)
    np.testing.assert_allclose(scale.mean, [0.5, 0.2], rtol=1e-6)
    np.testing.assert_allclose(scale.std, [np.sqrt(0.17), 1e-3], rtol=1e-6)
    np.testing.assert_allclose(
        scale(images)[..., 0].ravel(),
        np.array([-0.5, -0.3, 0.3, 0.5]) / np.sqrt(0.17),
        rtol=1e-6,
    )
    assert np.all(scale(images)[..., 1] == 0)


def test_more_values_than_float32_can_count():
    """Adding 1 to a float32 of 2^24 changes nothing."""
    half = np.array([[250, 4, 255], [255, 0, 255]], np.uint8)
    images = np.broadcast_to(half[:, None, None], (2, 5000, 4000, 3))
    assert images[..., 0].size > 2**25
    scale = scale_of(images)
    by_hand = half.astype(np.float64) / 255
    np.testing.assert_allclose(scale.mean, by_hand.mean(0), rtol=1e-6)
    std = np.maximum(by_hand.std(0), 1e-3)
    np.testing.assert_allclose(scale.std, std, rtol=1e-6)


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is missing")
def test_the_scale_of_cifar10():
    scale = scale_of(sources.load("cifar10", "train", str(DATA)).images)
    np.testing.assert_allclose(scale.mean, [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(scale.std, [0.2470, 0.2435, 0.2616], atol=5e-5)


@pytest.mark.parametrize("name", ["mlp_mnist", "numpy_mnist", "airbench_cifar10"])
def test_a_run_keeps_its_scale(name, monkeypatch, tmp_path):
    config = _short(name)
    first = loop.train(tasks.make(config), config, tmp_path, name="run")
    images = sources.load("digits", "test").images[:5]
    run = restore.load(tmp_path, tasks.make)
    _, logits = tasks.abilities(config).classify(config)
    expected = np.asarray(logits(run.state, images))

    other = evaluation.Scale(jnp.full(1, 0.9), jnp.full(1, 0.01))
    monkeypatch.setattr(evaluation, "scale_of", lambda images: other)
    run = restore.load(tmp_path, tasks.make)
    assert run.state.scale.std != other.std
    _, logits = tasks.abilities(config).classify(config)
    np.testing.assert_array_equal(logits(run.state, images), expected)
    again = evaluate(run.task, run.keys, run.step, run.state)
    assert again["eval/nll"] == first["metrics"]["nll"]


def _short(name):
    config = __import__(f"configs.{name}", fromlist=["get_config"]).get_config()
    config.dataset, config.features = "digits", (8,)
    config.num_steps = config.log_steps = config.eval_steps = 2
    config.checkpoint_steps = 2
    if "warmup_steps" in config:
        config.warmup_steps = 1
    if "widths" in config:
        config.widths, config.batch_size = (4,), 64
    return config


def test_a_streamed_data_set_is_scaled_by_a_thousand_images():
    config = _short("mlp_mnist")
    whole = evaluation.Data(config).scale
    config.streamed = True
    part = evaluation.Data(config)
    assert part.sample.shape == (1000, 8, 8, 1)
    images = sources.load("digits", "train").images
    np.testing.assert_array_equal(part.sample[-1], images[-1])
    for a, b in zip(*map(jax.tree.leaves, (whole, part.scale)), strict=True):
        np.testing.assert_allclose(a, b, atol=0.01)
