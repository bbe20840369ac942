"""The tab of autoencoders: blend two images, move along dimensions, sample."""

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
from launch import preprocess
from launch.gallery import drawing
from launch.gallery.models import Shelf, can, told

_SLIDERS = 8  # dimensions, those that the data uses most
_SPAN = 3.0  # standard deviations to either side
_SIDE = 15  # images along a side of the map
_ZOOM = 280  # pixels of one image


class Space:
    """A trained autoencoder's latent space."""

    def __init__(self, run: restore.Trained):
        self._codec = tasks.abilities(run.config).encode(run.config, run.state)
        self.latents = self._codec.latents
        means = np.asarray(self._codec.encode(self._codec.test.images[:2000]))
        self.used = np.argsort(-means.std(axis=0))[:_SLIDERS].tolist()
        self.last = len(self._codec.test.images) - 1

    def vector(self, number: int, picture) -> jax.Array:
        """[latents], of a test image or of a picture where there is one."""
        test = self._codec.test.images
        if picture is None and not 0 <= number <= self.last:
            raise UserError(f"test images are numbered 0 ... {self.last}")
        image = test[int(number)] if picture is None else preprocess.fit(picture, test)
        return self._codec.encode([image])[0]

    def show(self, z: jax.Array) -> np.ndarray:
        """[number, latents] -> a row, or a square, of what they decode to."""
        columns = len(z) if len(z) < 16 else int(np.ceil(np.sqrt(len(z))))
        height = _ZOOM if len(z) == 1 else 84
        return figures.sheet(self._codec.decode(z), columns, height, rim=0)

    @functools.cached_property
    def map(self) -> np.ndarray:
        """What each place of the plane decodes to, [height, width, 3] uint8."""
        steps = jnp.linspace(-_SPAN, _SPAN, _SIDE)
        across, down = jnp.meshgrid(steps, -steps)
        z = jnp.stack([across.ravel(), down.ravel()], axis=-1)
        return figures.sheet(self._codec.decode(z), _SIDE, 28, rim=0)

    def place(self, x: int, y: int) -> jax.Array:
        """The vector at a pixel of the map."""
        height, width = self.map.shape[:2]
        cell = width / _SIDE
        reach = (width - cell) / 2
        right, up = (x - width / 2) / reach, (height / 2 - y) / reach
        return _SPAN * jnp.array([right, up])


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for when it is opened, its inputs and its outputs.
    """
    shelf = Shelf(
        root,
        can("encode"),
        Space,
        "python -m launch.main --config=configs/vae_mnist.py --config.dataset=digits",
    )
    name = shelf.dropdown(elem_id="space")
    options = {"show_label": True, "buttons": [], "interactive": False}
    with gr.Row():
        with gr.Column():
            gr.Markdown("### Blend two images")
            with gr.Row():
                a = gr.Number(0, precision=0, minimum=0, label="Test image")
                b = gr.Number(1, precision=0, minimum=0, label="And another")
            with gr.Accordion("Or draw them", open=False), gr.Row():
                _, drawn_a = drawing.pad("Instead of the first", elem_id="drawn-a")
                _, drawn_b = drawing.pad("Instead of the other", elem_id="drawn-b")
            weight = gr.Slider(0, 1, 0.5, step=0.05, label="From one to the other")
            blend = gr.Image(label="Blend", height=_ZOOM, elem_id="blend", **options)
            way = gr.Image(label="The whole way", height=130, **options)
        with gr.Column():
            gr.Markdown("### Move along the dimensions that differ most")
            sliders = [
                gr.Slider(-_SPAN, _SPAN, 0, step=0.1, label="z", visible=n == 0)
                for n in range(_SLIDERS)
            ]
            moved = gr.Image(label="There", height=_ZOOM, elem_id="moved", **options)
        with gr.Column():
            gr.Markdown("### Sample")
            button = gr.Button("64 samples", elem_id="sample")
            seed = gr.State(1)
            sheet = gr.Image(label="Samples", elem_id="samples", **options)
            plane = gr.Image(
                label="The plane: click on it",
                visible=False,
                elem_id="plane",
                **options,
            )

    def blended(name, a, b, drawn_a, drawn_b, weight):
        space = shelf.get(name)
        first = space.vector(a or 0, drawn_a)
        second = space.vector(b or 0, drawn_b)

        def between(weights):
            w = jnp.asarray(weights)[:, None]
            return (1 - w) * first[None] + w * second[None]

        return space.show(between([weight])), space.show(between(np.linspace(0, 1, 9)))

    def moving(name, *values):
        space = shelf.get(name)
        z = jnp.zeros(space.latents)
        for dimension, value in zip(space.used, values, strict=False):
            z = z.at[dimension].set(value)
        return space.show(z[None])

    def sampled(name, seed):
        space = shelf.get(name)
        z = jax.random.normal(streams.key(seed, "sheet"), (64, space.latents))
        return space.show(z), seed + 1

    def clicked(name, event: gr.SelectData):
        space = shelf.get(name)
        if space.latents != 2:
            raise UserError("only a space of two dimensions has a map")
        z = space.place(*event.index)
        # The sliders stand for the dimensions in their order of use.
        values = [round(float(z[dimension]), 1) for dimension in space.used]
        return [space.show(z[None]), *values, *[gr.skip()] * (_SLIDERS - 2)]

    ends = [name, a, b, drawn_a, drawn_b, weight]

    def chosen(name, *ends):
        space = shelf.get(name)
        labels = [f"z{dimension}" for dimension in space.used]
        labels += [""] * (_SLIDERS - len(labels))
        return [
            *blended(name, *ends),
            moving(name),
            sampled(name, 0)[0],
            gr.Image(space.map, visible=True)
            if space.latents == 2
            else gr.Image(visible=False),
            *[gr.Slider(value=0, label=label, visible=bool(label)) for label in labels],
        ]

    everything = [blend, way, moved, sheet, plane, *sliders]

    def opened(name, *ends):
        found, now = shelf.choices(name)
        if now in (None, name):  # nothing to show, or it is shown
            return [found, *[gr.skip()] * len(everything)]
        return [found, *chosen(now, *ends)]

    for part in a, b, weight:
        part.input(told(blended), ends, [blend, way], show_progress="hidden")
    for part in drawn_a, drawn_b:
        part.change(told(blended), ends, [blend, way], show_progress="hidden")
    for slider in sliders:
        slider.input(told(moving), [name, *sliders], moved, show_progress="hidden")
    button.click(told(sampled), [name, seed], [sheet, seed], show_progress="hidden")
    plane.select(told(clicked), name, [moved, *sliders], show_progress="hidden")
    name.input(told(chosen), ends, everything, show_progress="hidden")
    return told(opened), ends, [name, *everything]
