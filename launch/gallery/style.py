"""The tab of paintings: a visitor's photograph in the style of a painting."""

import pathlib
import tempfile
import time
from typing import Any

import gradio as gr
import numpy as np

from configs import style as style_config
from dlx import tasks
from dlx.data import images
from dlx.errors import UserError
from dlx.runtime import devices, loop, restore
from launch.gallery import drawing
from launch.gallery.models import Shelf, can, told

_PHOTOGRAPHS = "chelsea", "coffee", "astronaut", "rocket"
_PAINTINGS = "hubble_deep_field", "retina", "immunohistochemistry", "brick"
_SCALES, _FRAMES = 2, 20  # pictures of it forming, at each scale
_STEPS = 5  # from one to the next


class Painter:
    """A network trained for one style."""

    def __init__(self, run: restore.Trained):
        self._params = run.state.params
        self._paint = tasks.abilities(run.config).paint(run.config)

    def __call__(self, picture, size: int) -> np.ndarray:
        """[height, width, 3] uint8."""
        shape = images.shape_at(picture, size)
        made = self._paint(self._params, images.resize(picture, shape)[None])
        return np.uint8(np.round(255 * np.asarray(made)[0]))


def build(root: pathlib.Path, weights: str) -> Any:
    """Lays out the tab.

    Args:
      root: Below which runs are.
      weights: Of the network that looks, as for configs/style.py.

    Returns:
      The handler for when it is opened, its inputs and its outputs.
    """
    shelf = Shelf(
        root,
        can("paint"),
        Painter,
        "python -m launch.main --config=configs/fast_style.py --config.weights=...",
    )
    said = "with " + pathlib.Path(weights).name
    if weights == "random":
        said = (
            "with a network of random weights, which knows textures, no things; "
            "`--weights=FILE` gives it a trained one"
        )
    gr.Markdown(f"Descent on the picture's pixels, {said}.", elem_id="said")
    with gr.Row():
        with gr.Column():
            content = drawing.upload("Your photograph", elem_id="content", height=260)
            photograph = gr.Dropdown(list(_PHOTOGRAPHS), label="or one of these")
        with gr.Column():
            painting = drawing.upload("Your painting", elem_id="painting", height=260)
            texture = gr.Dropdown(list(_PAINTINGS), label="or one of these")
        with gr.Column():
            size = gr.Slider(64, 512, 256, step=32, label="Longer side, pixels")
            paint = gr.Button("Paint", variant="primary", elem_id="paint")
            stop = gr.Button("Stop")
            name = gr.Dropdown(
                [], label="A network trained for one style", elem_id="fast"
            )
            at_once = gr.Button("Paint with it, at once", elem_id="at-once")
    made = gr.Image(
        label="The picture", buttons=["download"], interactive=False, elem_id="made"
    )
    progress = gr.Markdown(elem_id="progress")

    def forming(content, photograph, painting, texture, size):
        """Yields the picture as it forms, and how far it is."""
        size = _checked(size)
        with tempfile.TemporaryDirectory() as folder:
            config = style_config.get_config()
            config.content = _kept(content, photograph, _PHOTOGRAPHS, folder, "content")
            config.style = _kept(painting, texture, _PAINTINGS, folder, "style")
            config.weights, config.size, config.scales = weights, size, _SCALES
            config.num_steps = _SCALES * _FRAMES * _STEPS
            yield None, "Reading the pictures ..."
            task = tasks.make(config)
        keys, began = loop.Keys(config.seed), time.monotonic()
        state, device_keys = (
            devices.init(task, keys.init),
            devices.device_keys(keys.steps),
        )
        source = task.batches.source(_STEPS)
        steps = devices.train_steps(task, state, _STEPS)
        yield None, "Compiling ..."
        for done in range(_STEPS, config.num_steps + 1, _STEPS):
            state, losses = steps(state, source, device_keys)
            losses = {name: float(loss[-1]) for name, loss in losses.items()}
            whole = devices.first_copy(task, state)
            picture = task.figures(whole, keys.figures(0))["picture"]
            yield (
                picture,
                f"Step {done} of {config.num_steps}, {time.monotonic() - began:.0f} s: "
                f"content {losses['content_loss']:.3f}, "
                f"style {losses['style_loss']:.5f}",
            )

    def painted(name, content, photograph, size):
        size = _checked(size)
        painter = shelf.get(name)
        if content is None:
            picture = images.read(images.BUNDLED + _known(photograph, _PHOTOGRAPHS))
        else:
            picture = drawing.read(content)
        painter(picture, size)  # compiles
        began = time.perf_counter()
        result = painter(picture, size)
        return result, f"{1000 * (time.perf_counter() - began):.0f} ms"

    going = paint.click(
        told(forming),
        [content, photograph, painting, texture, size],
        [made, progress],
        concurrency_limit=1,
        concurrency_id="painting",
        show_progress="minimal",
    )
    stop.click(None, cancels=going)
    at_once.click(
        told(painted),
        [name, content, photograph, size],
        [made, progress],
        concurrency_limit=1,
        concurrency_id="painting",
        show_progress="minimal",
    )
    return told(lambda name: shelf.choices(name)[0]), name, name


def _checked(size):
    if not 64 <= size <= 512:
        raise UserError("64 to 512 pixels")
    return int(size)


def _known(name, known):
    if name not in known:
        raise UserError(f"there is no picture {name!r}")
    return name


def _kept(upload, bundled, known, folder, stem):
    """The name of a picture as `pictures.read` wants it."""
    if upload is None:
        return images.BUNDLED + _known(bundled, known)
    path = f"{folder}/{stem}.png"
    drawing.read(upload).save(path)
    return path
