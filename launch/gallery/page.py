"""The page: an agent that plays at once, all runs, and a tab per kind of model."""

import functools
import pathlib

import gradio as gr

from . import digits, films, first, gan, latent, overview, results, rocks, style

_CLEANUP, _KEPT = 600, 3600  # seconds: interval, and lifetime of visitors' files


def make(root: pathlib.Path, weights: str) -> gr.Blocks:
    """Lays out the page.

    Args:
      root: The folder that contains the runs.
      weights: The weights for style transfer, like config.weights of configs/style.py.
    """
    tabs = {
        "Rocks": rocks.build,
        "Other games": films.build,
        "Digits": digits.build,
        "Latent space": latent.build,
        "Samples": gan.build,
        "Style": functools.partial(style.build, weights=weights),
        "Results": results.build,
    }
    with gr.Blocks(title=f"dlx: {root.name}", delete_cache=(_CLEANUP, _KEPT)) as page:
        with gr.Tab("Start"):
            first.build(root)
        with gr.Tab("Runs"):
            load, inputs, outputs = overview.build(root)
        page.load(load, inputs, outputs, show_progress="hidden")
        for title, build in tabs.items():
            with gr.Tab(title) as tab:
                opened = build(root)
            tab.select(*opened)
    return page
