"""The page: a tab of all runs, and a tab for each kind of trained model."""

import pathlib

import gradio as gr

from . import digits, gan, latent, overview, rocks, style

_CLEANUP, _KEPT = 600, 3600  # seconds: interval, and lifetime of visitors' files


def make(root: pathlib.Path, weights: str) -> gr.Blocks:
    """Lays out the page.

    Args:
      root: The folder that contains the runs.
      weights: The weights for style transfer, as config.weights of configs/style.py.
    """
    with gr.Blocks(title=f"dlx: {root.name}", delete_cache=(_CLEANUP, _KEPT)) as page:
        with gr.Tab("Runs"):
            load, inputs, outputs = overview.build(root)
        page.load(load, inputs, outputs, show_progress="hidden")
        tabs = {"Rocks": rocks, "Digits": digits, "Latent space": latent, "GAN": gan}
        for title, module in tabs.items():
            with gr.Tab(title) as tab:
                opened = module.build(root)
            tab.select(*opened)
        with gr.Tab("Style") as tab:
            opened = style.build(root, weights)
        tab.select(*opened)
    return page
