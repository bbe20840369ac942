"""The page: a tab for the runs, and one for each kind of thing that they train."""

import pathlib

import gradio as gr

from launch.gallery import digits, gan, latent, overview, rocks, style

_TIDIED, _KEPT = 600, 3600  # seconds, of what visitors upload and get


def make(root: pathlib.Path, weights: str) -> gr.Blocks:
    """Lays out the page.

    Args:
      root: Below which runs are.
      weights: Of the network that looks at paintings, as for configs/style.py.
    """
    with gr.Blocks(title=f"dlx: {root.name}", delete_cache=(_TIDIED, _KEPT)) as page:
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
