"""The tab of autoencoders: interpolate, move along latent dimensions, sample."""

import functools
import pathlib
from typing import Any

import gradio as gr
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures, streams, tasks
from dlx.errors import UserError
from dlx.runtime import restore

from .. import preprocess, shipped
from . import drawing
from .models import LATEST, Models, can, show_user_errors

_SLIDERS = 8  # the latent dimensions in which the data varies most
_SPAN = 3.0  # the sliders' range, -3 ... 3 standard deviations
_SIDE = 15  # images along a side of the map
_ZOOM = 280  # pixels of one image


class LatentSpace:
    """A trained autoencoder's latent space.

    Attributes:
      latents: The number of latent dimensions.
      dimensions: The dimensions of the sliders, by decreasing variance.
      last: The number of the last test image.
    """

    def __init__(self, run: restore.Trained):
        self._codec = tasks.abilities(run.config).encode(run.config, run.state)
        self.latents = self._codec.latents
        means = np.asarray(self._codec.encode(self._codec.test.images[:2000]))
        self.dimensions = np.argsort(-means.std(axis=0))[:_SLIDERS].tolist()
        self.last = len(self._codec.test.images) - 1

    def vector(self, number: int, picture) -> jax.Array:
        """Encodes a picture or, if that is None, a test image: [latents] float32."""
        test = self._codec.test.images
        if picture is not None:
            image = preprocess.to_dataset_format(picture, test)
        elif 0 <= number <= self.last:
            image = test[int(number)]
        else:
            raise UserError(f"test images are numbered 0 ... {self.last}")
        return self._codec.encode([image])[0]

    def show(self, z: jax.Array) -> np.ndarray:
        """Decodes vectors [number, latents] and shows them in a row or a square."""
        columns = len(z) if len(z) < 16 else int(np.ceil(np.sqrt(len(z))))
        height = _ZOOM if len(z) == 1 else 84
        return figures.sheet(self._codec.decode(z), columns, height, rim=0)

    @functools.cached_property
    def map(self) -> np.ndarray:
        """Decodes a grid of a two-dimensional space, [height, width, 3] uint8."""
        steps = jnp.linspace(-_SPAN, _SPAN, _SIDE)
        across, down = jnp.meshgrid(steps, -steps)
        z = jnp.stack([across.ravel(), down.ravel()], axis=-1)
        return figures.sheet(self._codec.decode(z), _SIDE, 28, rim=0)

    def at_pixel(self, x: int, y: int) -> jax.Array:
        """The vector at a pixel of the map, [2] float32."""
        height, width = self.map.shape[:2]
        cell = width / _SIDE
        half = (width - cell) / 2
        right, up = (x - width / 2) / half, (height / 2 - y) / half
        return _SPAN * jnp.array([right, up])


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for opening the tab, its inputs and its outputs.
    """
    models = Models(
        root,
        can("encode"),
        LatentSpace,
        shipped.train_command("vae_mnist", "--config.dataset=digits"),
    )
    name = models.dropdown(elem_id="space")
    with gr.Row():
        with gr.Column():
            ends, blends = _interpolation_part(models, name)
        with gr.Column():
            sliders, moved = _dimensions_part(models, name)
        with gr.Column():
            sheet, plane = _samples_part(models, name, sliders, moved)
    outputs = [*blends, moved, sheet, plane, *sliders]

    @show_user_errors
    def selected(name, *ends):
        return _everything(models, name, *ends)

    @show_user_errors
    def opened(name, *ends):
        dropdown, now = models.choices(name)
        if now in (None, name):  # there are no runs, or the tab shows the run already
            return [dropdown, *[gr.skip()] * len(outputs)]
        return [dropdown, *_everything(models, now, *ends)]

    name.input(selected, [name, *ends], outputs, **LATEST)
    return opened, [name, *ends], [name, *outputs]


_IMAGE = {"show_label": True, "buttons": [], "interactive": False}


def _interpolation_part(models, name):
    """Two images and their interpolation.

    Returns:
      The inputs and the outputs.
    """
    gr.Markdown("### Interpolate between two images")
    with gr.Row():
        a = gr.Number(0, precision=0, minimum=0, label="First test image")
        b = gr.Number(1, precision=0, minimum=0, label="Second test image")
    with gr.Accordion("Or draw them", open=False), gr.Row():
        _, drawn_a = drawing.pad("Replaces the first image", elem_id="drawn-a")
        _, drawn_b = drawing.pad("Replaces the second image", elem_id="drawn-b")
    weight = gr.Slider(0, 1, 0.5, step=0.05, label="Weight of the second")
    blend = gr.Image(label="Interpolation", height=_ZOOM, elem_id="blend", **_IMAGE)
    path = gr.Image(label="All weights from 0 to 1", height=130, **_IMAGE)
    ends = [a, b, drawn_a, drawn_b, weight]

    @show_user_errors
    def interpolated(name, *ends):
        return _interpolated(models, name, *ends)

    inputs, outputs = [name, *ends], [blend, path]
    for part in a, b, weight:
        part.input(interpolated, inputs, outputs, **LATEST)
    for part in drawn_a, drawn_b:
        part.change(interpolated, inputs, outputs, **LATEST)
    return ends, outputs


def _dimensions_part(models, name):
    """Sliders of the latent dimensions, and the image of their vector."""
    gr.Markdown("### Move along the dimensions that vary most")
    sliders = [
        gr.Slider(-_SPAN, _SPAN, 0, step=0.1, label="z", visible=n == 0)
        for n in range(_SLIDERS)
    ]
    moved = gr.Image(label="Decoded", height=_ZOOM, elem_id="moved", **_IMAGE)

    @show_user_errors
    def move(name, *values):
        return _moved(models, name, *values)

    for slider in sliders:
        slider.input(move, [name, *sliders], moved, **LATEST)
    return sliders, moved


def _samples_part(models, name, sliders, moved):
    """Samples and, of a two-dimensional space, a map that the visitor can click on."""
    gr.Markdown("### Sample")
    button = gr.Button("64 samples", elem_id="sample")
    seed = gr.State(1)
    sheet = gr.Image(label="Samples", elem_id="samples", **_IMAGE)
    plane = gr.Image(
        label="The plane: click on it", visible=False, elem_id="plane", **_IMAGE
    )

    @show_user_errors
    def sample(name, seed):
        return _samples(models, name, seed), seed + 1

    @show_user_errors
    def click(name, event: gr.SelectData):
        space = models.get(name)
        if space.latents != 2:
            raise UserError("only a space of two dimensions has a map")
        z = space.at_pixel(*event.index)
        values = [round(float(z[dimension]), 1) for dimension in space.dimensions]
        return [space.show(z[None]), *values, *[gr.skip()] * (_SLIDERS - 2)]

    button.click(sample, [name, seed], [sheet, seed], show_progress="hidden")
    plane.select(click, name, [moved, *sliders], **LATEST)
    return sheet, plane


def _interpolated(models, name, a, b, drawn_a, drawn_b, weight):
    """The interpolation at one weight, and at nine."""
    space = models.get(name)
    first = space.vector(a or 0, drawn_a)
    second = space.vector(b or 0, drawn_b)

    def interpolate(weights):
        w = jnp.asarray(weights)[:, None]
        return (1 - w) * first[None] + w * second[None]

    path = interpolate(np.linspace(0, 1, 9))
    return space.show(interpolate([weight])), space.show(path)


def _moved(models, name, *values):
    """The image at the sliders' values."""
    space = models.get(name)
    z = jnp.zeros(space.latents)
    for dimension, value in zip(space.dimensions, values, strict=False):
        z = z.at[dimension].set(value)
    return space.show(z[None])


def _samples(models, name, seed):
    """64 samples."""
    space = models.get(name)
    z = jax.random.normal(streams.key(seed, "sheet"), (64, space.latents))
    return space.show(z)


def _everything(models, name, *ends):
    """All outputs for a newly selected run."""
    space = models.get(name)
    labels = [f"z{dimension}" for dimension in space.dimensions]
    labels += [""] * (_SLIDERS - len(labels))
    plane = gr.Image(visible=False)
    if space.latents == 2:
        plane = gr.Image(space.map, visible=True)
    return [
        *_interpolated(models, name, *ends),
        _moved(models, name),
        _samples(models, name, 0),
        plane,
        *[gr.Slider(value=0, label=label, visible=bool(label)) for label in labels],
    ]
