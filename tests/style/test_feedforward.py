"""The feed-forward network on a few photos, with random extractor weights."""

import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image
import pytest

from dlx import optimizers, streams, tasks
from dlx.errors import UserError
from dlx.runtime import devices, loop
from dlx.style import feedforward
from dlx.style.stylizer import Stylizer


@pytest.fixture
def config():
    from configs import fast_style

    config = fast_style.get_config()
    config.weights = "random"
    for layers in (config.content_layers, config.style_layers):
        for layer in list(layers):
            del layers[layer]
    config.content_layers = {"conv1": 1.0}
    config.style_layers = {"conv1": 1.0}
    config.image_size, config.crop, config.batch_size = 32, 24, 2
    config.channels, config.blocks = (4, 6), 1
    lengths = "num_steps", "log_steps", "eval_steps", "checkpoint_steps"
    config.update(dict.fromkeys(lengths, 20))
    return config


def test_it_learns_to_paint_and_its_pictures_are_of_any_size(config, tmp_path):
    config.update({"num_steps": 80, "eval_steps": 40, "learning_rate": 5e-3})
    config.log_steps = config.checkpoint_steps = 40
    with jax.debug_key_reuse(False):
        task = tasks.make(config)
        state = devices.init(task, streams.Keys(config.seed).init)
        untrained = task.evaluate(devices.first_copy(task, state), None)["loss"]
        summary = loop.train(task, config, tmp_path / "run", name="x")
    assert (
        summary["metrics"]["loss"] < 0.6 * untrained
    )  # 0.25 to 0.47 with seeds 0 to 3
    assert (tmp_path / "run" / "figures" / "photographs_over_painted.png").exists()

    Image.new("RGB", (37, 21), (90, 10, 200)).save(tmp_path / "odd.png")
    program = [sys.executable, "-m", "launch.stylize", f"--workdir={tmp_path}/run"]
    done = subprocess.run(
        [*program, f"--out={tmp_path}", f"{tmp_path}/odd.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "odd-painted.png: 37x21, " in done.stdout and done.stdout.endswith(" ms\n")
    with Image.open(tmp_path / "odd-painted.png") as picture:
        assert picture.size == (37, 21)
    (tmp_path / "odd-painted.png").unlink()
    Image.new("RGB", (37, 21)).save(tmp_path / "odd.jpg")
    done = subprocess.run(
        [*program, f"--out={tmp_path}", f"{tmp_path}/odd.png", f"{tmp_path}/odd.jpg"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "odd.png and" in done.stderr and "odd-painted.png" in done.stderr
    assert not (tmp_path / "odd-painted.png").exists(), "before any work"


def test_two_devices_end_where_one_ends(config, monkeypatch):
    monkeypatch.setattr(feedforward, "crop", lambda key, images, side: images)
    # Adam would scale up gradients that consist of rounding errors only.
    monkeypatch.setattr(optimizers, "make", lambda *_, **__: optax.sgd(0.1))
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    images = jax.random.randint(jax.random.key(1), (4, 24, 24, 3), 0, 256, jnp.uint8)
    fixed = task.batches.source(1)["fixed"]
    axes = {"photographs": 0, "fixed": None}

    def train(num_devices):
        shared = images.reshape(num_devices, -1, *images.shape[1:])
        batch = {"photographs": {"images": shared}, "fixed": fixed}
        step = jax.vmap(task.step, (None, axes, None), axis_name=devices.AXIS)
        after, _ = jax.jit(step)(state, batch, jax.random.key(2))
        return jax.tree.map(lambda x: x[0], after)

    one, two = train(1), train(2)
    chex.assert_trees_all_close(one.params, two.params, atol=2e-4)
    moved = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), state.params, one.params)
    assert max(jax.tree.leaves(moved)) > 1e-2


def test_crops_are_squares_of_the_images():
    images = jnp.arange(2 * 6 * 6 * 3).reshape(2, 6, 6, 3)
    crops = np.asarray(feedforward.crop(jax.random.key(3), images, 4))
    for image, crop in zip(np.asarray(images), crops, strict=True):
        windows = [image[i : i + 4, j : j + 4] for i in range(3) for j in range(3)]
        both = windows + [window[:, ::-1] for window in windows]
        assert any(np.array_equal(crop, window) for window in both)


def test_a_picture_keeps_its_size():
    network = Stylizer((2, 3, 4), 1)
    x = jnp.zeros((1, 13, 22, 3))
    made, _ = jax.eval_shape(
        lambda key: network.init_with_output(key, x), jax.random.key(0)
    )
    assert made.shape == x.shape


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"crop": 40}, "config.crop=40 is more than config.image_size=32"),
        (
            {"dataset": "digits"},
            "config.dataset=digits has grey images; the network needs colour",
        ),
        ({"dataset": "folder:nowhere"}, "nowhere has fewer than two images"),
        ({"channels": ()}, "config.channels must be a row of 1 or more"),
        (
            {"style_layers": {"conv1": 0.0}},
            "style_layers gives no layer a weight above",
        ),
        ({"blocks": 10**9}, r"config.blocks must be an integer in 0 \.\.\. 64"),
    ],
)
def test_invalid_configs_are_user_errors(config, change, why):
    config.update(change)
    with pytest.raises(UserError, match=why):
        tasks.make(config)
