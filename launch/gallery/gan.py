"""The tab of generators: samples, their course over training, interpolations."""

import pathlib
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from dlx import streams, tasks
from dlx.errors import UserError
from dlx.runtime import restore

from .. import shipped
from ..report import html, runs
from .models import LATEST, Models, can, show_user_errors

_ROWS, _STEPS = 6, 12  # of the interpolations
_FILM = ("forming",)  # a flow's film of samples from noise to image


class Generator:
    """A trained generator of images, sounds or texts."""

    def __init__(self, run: restore.Trained):
        self._state = run.state
        self._sampler = tasks.abilities(run.config).sample(run.config)

    def sheet(self, seed: int) -> np.ndarray:
        """Draws 64 samples, [height, width, 3] uint8."""
        samples = self._sampler.samples(self._state, streams.key(seed, "sheet"), 64)
        return self._sampler.modality.show(samples, 8)

    def interpolations(self, seed: int) -> np.ndarray:
        """Interpolations between pairs of samples, [height, width, 3] uint8."""
        key = streams.key(seed, "between")
        samples = self._sampler.interpolations(self._state, key, _ROWS, _STEPS)
        return self._sampler.modality.show(samples, _STEPS)


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for opening the tab, its inputs and its outputs.
    """
    models = Models(
        root,
        can("sample"),
        Generator,
        shipped.train_command("dcgan_digits"),
    )
    name = models.dropdown(elem_id="generator")
    options = {"buttons": [], "interactive": False}
    with gr.Row():
        with gr.Column():
            seed = gr.Slider(0, 999, 0, step=1, label="Seed", elem_id="seed")
            sheet = gr.Image(label="Samples", elem_id="sheet", **options)
        with gr.Column():
            at = gr.Slider(0, 1, 0, step=1, label="Evaluation", elem_id="at")
            frame = gr.Image(
                label="The same latent vectors during training",
                elem_id="frame",
                **options,
            )
    between = gr.Image(label="Interpolations", elem_id="between", **options)
    film = gr.HTML(elem_id="forming")
    _connect(models, name, seed, sheet, at, frame, between, film)

    outputs = [at, frame, film, sheet, between]

    def opened(name, seed):
        dropdown, selected = models.choices(name)
        if selected in (None, name):
            yield [dropdown, *[gr.skip()] * len(outputs)]
            return
        for values in _everything(models, selected, seed):
            yield [dropdown, *values]

    return show_user_errors(opened), [name, seed], [name, *outputs]


def _connect(models, name, seed, sheet, at, frame, between, film):
    """Connects the inputs' events with their handlers."""

    @show_user_errors
    def samples(name, seed):
        yield from _samples(models, name, seed)

    @show_user_errors
    def training_frame(name, at):
        return _training_frame(models, name, at)

    @show_user_errors
    def everything(name, seed):
        yield from _everything(models, name, seed)

    seed.input(samples, [name, seed], [sheet, between], **LATEST)
    at.input(training_frame, [name, at], frame, **LATEST)
    outputs = [at, frame, film, sheet, between]
    name.input(everything, [name, seed], outputs, **LATEST)


def _samples(models, name, seed):
    """Yields the sheet of samples, then the interpolations, which may take long."""
    generator = models.get(name)
    yield generator.sheet(int(seed)), gr.skip()
    yield gr.skip(), generator.interpolations(int(seed))


def _training_frame(models, name, at):
    """The picture that the run drew at one of its evaluations."""
    frames = _frames(models, name)
    if not frames:
        return gr.Image(None, label="The run has no pictures of its training")
    path = frames[min(int(at), len(frames) - 1)]
    with Image.open(path) as file:
        pixels = np.asarray(file.convert("RGB"))
    label = f"The same latent vectors after {int(path.stem):,} steps"
    return gr.Image(pixels, label=label)


def _everything(models, name, seed):
    """Yields all outputs for a newly selected run: first what it drew in training."""
    last = max(0, len(_frames(models, name)) - 1)
    slider = gr.Slider(maximum=max(1, last), value=last, interactive=last > 0)
    film = html.figures(runs.named(models.root, name), _FILM)
    frame = _training_frame(models, name, last)
    yield slider, frame, film, None, None
    for values in _samples(models, name, seed):
        yield [*[gr.skip()] * 3, *values]


def _frames(models, name):
    """The pictures that a run drew at its evaluations, in order."""
    if not name:
        raise UserError("no run selected")
    return runs.named(models.root, name).frames().get("training", [])
