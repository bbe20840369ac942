"""The tab of generators: samples, training step by step, ways between samples."""

import pathlib
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from dlx import streams, tasks
from dlx.errors import UserError
from dlx.runtime import restore
from launch.gallery.models import Shelf, can, told
from launch.report import runs

_ROWS, _STEPS = 6, 12  # of the interpolation


class Generator:
    """A trained generator of pictures, sounds or texts."""

    def __init__(self, run: restore.Trained):
        self._state = run.state
        self._samples = tasks.abilities(run.config).sample(run.config)

    def sheet(self, seed: int) -> np.ndarray:
        """64 samples, [height, width, 3] uint8."""
        key = streams.key(seed, "sheet")
        samples = self._samples.samples(self._state, key, 64)
        return self._samples.modality.show(samples, 8)

    def between(self, seed: int) -> np.ndarray:
        """Ways from sample to sample, [height, width, 3] uint8."""
        key = streams.key(seed, "between")
        images = self._samples.interpolations(self._state, key, _ROWS, _STEPS)
        return self._samples.modality.show(images, _STEPS)


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for when it is opened, its inputs and its outputs.
    """
    shelf = Shelf(
        root,
        can("sample"),
        Generator,
        "python -m launch.main --config=configs/dcgan_digits.py",
    )
    name = shelf.dropdown(elem_id="generator")
    options = {"buttons": [], "interactive": False}
    with gr.Row():
        with gr.Column():
            seed = gr.Slider(0, 999, 0, step=1, label="Seed", elem_id="seed")
            sheet = gr.Image(label="Samples", elem_id="sheet", **options)
        with gr.Column():
            at = gr.Slider(0, 1, 0, step=1, label="Evaluation", elem_id="at")
            frame = gr.Image(
                label="The same latents as training went on", elem_id="frame", **options
            )
    between = gr.Image(label="From sample to sample", elem_id="between", **options)

    def sampled(name, seed):
        generator = shelf.get(name)
        return generator.sheet(int(seed)), generator.between(int(seed))

    def trained_to(name, at):
        frames = _frames(shelf, name)
        if not frames:
            return gr.Image(None, label="No pictures of its training were kept")
        path = frames[min(int(at), len(frames) - 1)]
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB"))
        return gr.Image(
            pixels, label=f"The same latents after {int(path.stem):,} steps"
        )

    def chosen(name, seed):
        last = max(0, len(_frames(shelf, name)) - 1)
        slider = gr.Slider(maximum=max(1, last), value=last, interactive=last > 0)
        return slider, trained_to(name, last), *sampled(name, seed)

    everything = [at, frame, sheet, between]

    def opened(name, seed):
        found, now = shelf.choices(name)
        if now in (None, name):
            return [found, *[gr.skip()] * len(everything)]
        return [found, *chosen(now, seed)]

    seed.input(told(sampled), [name, seed], [sheet, between], show_progress="hidden")
    at.input(told(trained_to), [name, at], frame, show_progress="hidden")
    name.input(told(chosen), [name, seed], everything, show_progress="hidden")
    return told(opened), [name, seed], [name, *everything]


def _frames(shelf, name):
    if not name:
        raise UserError("choose a run")
    return runs.named(shelf.root, name).frames().get("training", [])
