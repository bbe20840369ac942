"""The tab of other games than rocks: films of the trained agents."""

import pathlib
from typing import Any

import gradio as gr

from .. import shipped
from ..report import html, runs
from ..report.numbers import short
from .models import LATEST, Models, can, show_user_errors

_FILMS = "play", "game"  # drawn at the end of training, and by launch.play


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for opening the tab, its inputs and its outputs.
    """
    models = Models(
        root, _plays_another_game, _no_model, shipped.train_command("pqn_minatar")
    )
    name = models.dropdown(elem_id="film-run")
    film = gr.HTML(elem_id="film")

    @show_user_errors
    def selected(name):
        return _figures(root, name)

    @show_user_errors
    def opened(name):
        dropdown, now = models.choices(name)
        return [dropdown, _figures(root, now) if now else ""]

    name.input(selected, name, film, **LATEST)
    return opened, name, [name, film]


def _plays_another_game(config):
    return can("play")(config) and config.env.get("name", "rocks") != "rocks"


def _no_model(run):
    raise AssertionError("films need no model")


def _figures(root, name):
    """The run's game and measure, and its films."""
    run = runs.named(root, name)
    value = "not evaluated yet" if run.value is None else short(run.value, 5)
    text = f"{run.config['env']['name']}: {run.metric or 'return'} {value}"
    return html.render("heading.html", text=text) + html.figures(run, _FILMS)
