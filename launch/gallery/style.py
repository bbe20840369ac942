"""The tab of style transfer: a visitor's photo in the style of a painting."""

import pathlib
import tempfile
import time
from typing import Any

import gradio as gr
import jax
import numpy as np

from dlx import streams, tasks
from dlx.data import images
from dlx.errors import UserError
from dlx.runtime import devices, restore

from .. import shipped
from ..report import html
from . import drawing
from .models import Models, can, show_user_errors

_PHOTOGRAPHS = "chelsea", "coffee", "astronaut", "rocket"
_PAINTINGS = "hubble_deep_field", "retina", "immunohistochemistry", "brick"
_SCALES = 2  # resolutions
_FRAMES = 20  # pictures shown at each resolution
_STEPS = 5  # training steps between two of them
_SMALLEST, _LARGEST = 64, 512  # pixels


class Stylizer:
    """A feed-forward network that was trained for one style."""

    def __init__(self, run: restore.Trained):
        self._params = run.state.params
        self._paint = tasks.abilities(run.config).paint(run.config)

    def __call__(self, picture, size: int) -> np.ndarray:
        """Stylises a picture at `size` pixels: [height, width, 3] uint8."""
        shape = images.shape_at(picture, size)
        painted = self._paint(self._params, images.resize(picture, shape)[None])
        return np.uint8(np.round(255 * np.asarray(painted)[0]))


def build(root: pathlib.Path, weights: str) -> Any:
    """Lays out the tab.

    Args:
      root: The folder that contains the runs.
      weights: The feature extractor's weights, as config.weights of configs/style.py.

    Returns:
      The handler for opening the tab, its inputs and its outputs.
    """
    models = Models(
        root,
        can("paint"),
        Stylizer,
        shipped.train_command("fast_style", "--config.weights=..."),
    )
    gr.Markdown(_description(weights), elem_id="said")
    with gr.Row():
        content, photograph = _picture("Your photo", "content", _PHOTOGRAPHS)
        painting, texture = _picture("Your painting", "painting", _PAINTINGS)
        with gr.Column():
            size = gr.Slider(
                _SMALLEST, _LARGEST, 256, step=32, label="Longer side, pixels"
            )
            paint = gr.Button("Optimise", variant="primary", elem_id="paint")
            stop = gr.Button("Stop")
            name = gr.Dropdown(
                [], label="A network trained for one style", elem_id="fast"
            )
            at_once = gr.Button("Apply the network", elem_id="at-once")
    forming = gr.HTML(elem_id="forming", visible=False)
    picture = gr.Image(
        label="The picture", buttons=["download"], interactive=False, elem_id="made"
    )
    progress = gr.Markdown(elem_id="progress")

    @show_user_errors
    def optimise(*inputs):
        # Gradio stores pictures as files, so only the last value is a picture.
        made = None
        for made, said in _optimise(weights, *inputs):
            yield _shown(made), gr.Image(visible=made is None), said
        yield gr.HTML(visible=False), gr.Image(made, visible=True), gr.skip()

    @show_user_errors
    def apply_network(*inputs):
        made, said = _apply_network(models, *inputs)
        return gr.HTML(visible=False), gr.Image(made, visible=True), said

    outputs = [forming, picture, progress]
    options = {
        "concurrency_limit": 1,
        "concurrency_id": "painting",
        "show_progress": "minimal",
    }
    inputs = [content, photograph, painting, texture, size]
    running = paint.click(optimise, inputs, outputs, **options)
    stop.click(None, cancels=running)
    at_once.click(apply_network, [name, content, photograph, size], outputs, **options)
    return show_user_errors(lambda name: models.choices(name)[0]), name, name


def _shown(picture):
    """Updates the HTML that shows a picture as it forms."""
    if picture is None:
        return gr.HTML(visible=False)
    return gr.HTML(
        html.render("forming.html", source=html.picture(picture)), visible=True
    )


def _picture(label, elem_id, bundled):
    """A column with an upload, and a dropdown of bundled pictures."""
    with gr.Column():
        picture = drawing.upload(label, elem_id=elem_id, height=260)
        dropdown = gr.Dropdown(list(bundled), label="or one of these")
    return picture, dropdown


def _description(weights):
    """The text above the tab."""
    network = f"with the weights {pathlib.Path(weights).name}"
    if weights == "random":
        network = (
            "with a network of random weights, which matches textures but not objects; "
            "start the gallery with `--weights=FILE` for a trained network"
        )
    return f"Optimises the picture's pixels {network}."


def _optimise(weights, content, photograph, painting, texture, size):
    """Yields the picture as it forms, and the progress as text.

    Every painting compiles programs for its own sizes. They are freed at its end,
    because a process can have 65,530 memory maps on Linux, and a painting takes 600 or
    more.
    """
    try:
        yield from _steps(weights, content, photograph, painting, texture, size)
    finally:
        jax.clear_caches()


def _steps(weights, content, photograph, painting, texture, size):
    size = _require_size(size)
    with tempfile.TemporaryDirectory() as folder:
        config = shipped.get_config("style")
        config.content = _source(content, photograph, _PHOTOGRAPHS, folder, "content")
        config.style = _source(painting, texture, _PAINTINGS, folder, "style")
        config.weights, config.size, config.scales = weights, size, _SCALES
        config.num_steps = _SCALES * _FRAMES * _STEPS
        yield None, "Reading the pictures ..."
        task = tasks.make(config)
    keys, began = streams.Keys(config.seed), time.monotonic()
    state = devices.init(task, keys.init)
    device_keys = devices.device_keys(keys.steps)
    source = task.batches.source(_STEPS)
    steps = devices.train_steps(task, state, _STEPS)
    yield None, "Compiling ..."
    for step in range(_STEPS, config.num_steps + 1, _STEPS):
        state, losses = steps(state, source, device_keys)
        losses = {name: float(loss[-1]) for name, loss in losses.items()}
        first = devices.first_copy(task, state)
        picture = task.figures(first, keys.figures(0))["picture"]
        yield (
            picture,
            f"Step {step} of {config.num_steps}, {time.monotonic() - began:.0f} s: "
            f"content loss {losses['content_loss']:.3f}, "
            f"style loss {losses['style_loss']:.5f}",
        )


def _apply_network(models, name, content, photograph, size):
    """The stylised picture, and the time that it took."""
    size = _require_size(size)
    stylizer = models.get(name)
    if content is None:
        picture = images.read(images.BUNDLED + _require(photograph, _PHOTOGRAPHS))
    else:
        picture = drawing.read(content)
    stylizer(picture, size)  # compiles
    began = time.perf_counter()
    result = stylizer(picture, size)
    return result, f"{1000 * (time.perf_counter() - began):.0f} ms"


def _require_size(size):
    if not _SMALLEST <= size <= _LARGEST:
        raise UserError(
            f"the size must be {_SMALLEST} to {_LARGEST} pixels, got {size}"
        )
    return int(size)


def _require(name, names):
    if name not in names:
        raise UserError(f"no picture {name!r}; choose one of: {', '.join(names)}")
    return name


def _source(upload, bundled, names, folder, stem):
    """A picture's name for `images.read`; an upload is stored in the folder."""
    if upload is None:
        return images.BUNDLED + _require(bundled, names)
    path = f"{folder}/{stem}.png"
    drawing.read(upload).save(path)
    return path
