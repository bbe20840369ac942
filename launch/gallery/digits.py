"""The tab of classifiers: draw a digit, see what each makes of it."""

import pathlib
from typing import Any

import gradio as gr
import jax
import numpy as np

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import restore
from launch import preprocess
from launch.gallery import drawing
from launch.gallery.models import Shelf, can, told
from launch.report import html

_MOST = 8  # classifiers side by side
_DATA = "digits", "mnist"


class Reader:
    """A trained classifier of grey digits."""

    def __init__(self, run: restore.Trained):
        self._state = run.state
        self._data, self._logits = tasks.abilities(run.config).classify(run.config)
        self.names = self._data.test.names
        self.read(self._data.test.images[0])  # compiles

    def fit(self, picture) -> np.ndarray:
        """The picture as the network wants it, [size, size, 1] uint8."""
        return preprocess.fit(picture, self._data.test.images)

    def read(self, image: np.ndarray) -> np.ndarray:
        """The probability of each class, [classes]."""
        logits = self._logits(self._state, image[None])
        return np.asarray(jax.nn.softmax(np.asarray(logits)))[0]


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for when it is opened, its inputs and its outputs.
    """
    shelf = Shelf(
        root,
        lambda config: can("classify")(config) and config.dataset in _DATA,
        Reader,
        "python -m launch.main --config=configs/mlp_mnist.py --config.dataset=digits",
    )
    with gr.Row():
        with gr.Column(min_width=320, scale=0):
            _, drawn = drawing.pad("Draw a digit", elem_id="pad")
        with gr.Column(scale=1):
            chosen = gr.Dropdown(
                [], multiselect=True, max_choices=_MOST, label="Runs", elem_id="readers"
            )
            answer = gr.HTML(elem_id="answer")

    def look(picture, names):
        if picture is None:
            return ""
        rows = []
        for name in names or []:
            reader = shelf.get(name)
            seen = reader.fit(picture)
            zoomed = seen.repeat(56 // len(seen), 0).repeat(56 // len(seen), 1)
            rows.append(
                {
                    "run": name,
                    "seen": html.picture(
                        np.broadcast_to(zoomed, (*zoomed.shape[:2], 3))
                    ),
                    "shares": [float(share) for share in reader.read(seen)],
                    "names": reader.names,
                }
            )
        if not rows:
            raise UserError("choose a classifier")
        return html.html("digits.html", rows=rows, names=rows[0]["names"])

    def opened(names):
        known = shelf.names()
        stay = [name for name in names or [] if name in known] or known[:4]
        for name in stay:
            shelf.get(name)  # so that the first answer is not the slowest
        info = None if known else f"none yet: {shelf.train}"
        return gr.Dropdown(choices=known, value=stay, info=info)

    for event in drawn.change, chosen.input:
        event(told(look), [drawn, chosen], answer, show_progress="hidden")
    return told(opened), chosen, chosen
