"""The tab of classifiers: each classifies a digit that the visitor draws."""

import pathlib
from typing import Any

import gradio as gr
import jax
import numpy as np

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import restore

from .. import preprocess, shipped
from ..report import html
from . import drawing
from .models import LATEST, Models, can, show_user_errors

_MOST = 8  # classifiers side by side
_SIDE = 56  # pixels of the preprocessed digit on the page
_DATA = "digits", "mnist"


class Classifier:
    """A trained classifier of grey digits.

    Attributes:
      names: The classes' names.
    """

    def __init__(self, run: restore.Trained):
        self._state = run.state
        self._data, self._logits = tasks.abilities(run.config).classify(run.config)
        self.names = self._data.test.names
        self.probabilities(self._data.test.images[0])  # compiles

    def preprocess(self, picture) -> np.ndarray:
        """Converts a picture to the network's input, [size, size, 1] uint8."""
        return preprocess.to_dataset_format(picture, self._data.test.images)

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """The probability of each class, [classes]."""
        logits = self._logits(self._state, image[None])
        return np.asarray(jax.nn.softmax(np.asarray(logits)))[0]


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for opening the tab, its inputs and its outputs.
    """
    models = Models(
        root,
        lambda config: can("classify")(config) and config.dataset in _DATA,
        Classifier,
        shipped.train_command("mlp_mnist", "--config.dataset=digits"),
    )
    with gr.Row():
        with gr.Column(min_width=320, scale=0):
            _, drawn = drawing.pad("Draw a digit", elem_id="pad")
        with gr.Column(scale=1):
            selected = gr.Dropdown(
                [], multiselect=True, max_choices=_MOST, label="Runs", elem_id="readers"
            )
            answer = gr.HTML(elem_id="answer")

    @show_user_errors
    def classify(picture, names):
        return "" if picture is None else _table(models, picture, names or [])

    @show_user_errors
    def opened(selected):
        names = models.names()
        value = [name for name in selected or [] if name in names] or names[:4]
        for name in value:
            models.get(name)  # loads it before the first drawing
        return gr.Dropdown(choices=names, value=value, info=models.hint(names))

    for event in drawn.change, selected.input:
        event(classify, [drawn, selected], answer, **LATEST)
    return opened, selected, selected


def _table(models, picture, names):
    """A row for each classifier: its preprocessed input and its probabilities."""
    if not names:
        raise UserError("no classifier selected")
    rows = []
    for name in names:
        classifier = models.get(name)
        image = classifier.preprocess(picture)
        zoom = _SIDE // len(image)
        zoomed = image.repeat(zoom, 0).repeat(zoom, 1)
        zoomed = np.broadcast_to(zoomed, (*zoomed.shape[:2], 3))
        rows.append(
            {
                "run": name,
                "input": html.picture(zoomed),
                "shares": [float(p) for p in classifier.probabilities(image)],
            }
        )
    return html.render("digits.html", rows=rows, names=models.get(names[0]).names)
