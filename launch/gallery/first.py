"""The first tab: an agent that dlx ships plays, before anything was trained here.

The folder `agent` is a published run. Its summary.json has the command that trained it;
`launch.publish --checkpoint=latest --dry_run=FOLDER` wrote it.
"""

import functools
import pathlib

import gradio as gr

from dlx import tasks
from dlx.runtime import restore, rundir

from .. import shipped
from . import rocks
from .models import show_user_errors

AGENT = pathlib.Path(__file__).with_name("agent")
_GAME = {"size": 16, "every": 0, "number": 10, "speed": 8}
_DIGITS = "--config.dataset=digits"
_OTHERS = (
    ("Rocks", "agents that you trained, on every screen and in rain", "pg_rocks16"),
    ("Other games", "films of agents that play other games", "pqn_minatar"),
    ("Digits", "classifiers that read what you draw", "mlp_mnist", _DIGITS),
    ("Latent space", "digits to blend, move and sample", "vae_mnist", _DIGITS),
    ("Samples", "generators, and their samples during training", "dcgan_digits"),
    ("Style", "your photo, painted like your painting", "fast_style"),
)


@functools.cache
def load() -> rocks.Agent:
    """Returns the agent that dlx ships."""
    return rocks.Agent(restore.load(AGENT, tasks.make))


def _begin(human):
    return rocks.begin(load(), **_GAME, human=human)


def build(root: pathlib.Path) -> None:
    """Lays out the tab. Its first game is a part of the page."""
    gr.Markdown(_description())
    with gr.Row():
        join = gr.Button(
            "Play against it: arrow keys", variant="primary", elem_id="first-join"
        )
        watch = gr.Button("Watch it", elem_id="first-watch")
    value, *_ = _begin(human=False)
    outputs = rocks.make_board("first", value)

    @show_user_errors
    def watch_game():
        return _begin(human=False)

    @show_user_errors
    def join_game():
        return _begin(human=True)

    rocks.connect([], watch, join, outputs, watch_game, join_game)
    gr.Markdown(_others(root))


def _description():
    summary = rundir.read_summary(AGENT)
    metrics, ran = summary["metrics"], summary["provenance"]
    return (
        "## An agent that learnt to catch rocks\n"
        f"It started with random moves and trained for {summary['train_seconds']:.1f} "
        f"s on {ran['cores']} processor cores. It now catches the rock from "
        f"{metrics['perfect_starts']:.0f} of all {metrics['starts']:.0f} pairs of "
        "paddle and rock column. The bars show how likely it is to take each move."
    )


def _others(root):
    """A list of the other tabs, with a command that trains for each."""
    lines = "".join(
        f"- **{tab}**: {what}. `{shipped.train_command(*command)}`\n"
        for tab, what, *command in _OTHERS
    )
    return (
        "## What else is here\n"
        f"The tab *Runs* shows the runs in `{root.name}` while they train, and "
        "*Results* their tables. The other tabs use models that you trained; each line "
        f"ends with a command that trains one.\n\n{lines}"
    )
