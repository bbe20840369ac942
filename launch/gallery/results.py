"""The tab of results: tables of all finished runs and sweeps."""

import pathlib
from typing import Any

import gradio as gr

from .. import shipped
from ..results import markdown, tables
from .models import show_user_errors


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for opening the tab, its inputs and its outputs.
    """
    text = gr.Markdown(elem_id="results")

    @show_user_errors
    def opened():
        results = tables.collect(root)
        if not results["tables"]:
            command = shipped.train_command("pg_rocks16")
            return f"No run in `{root.name}` is finished. Train one: `{command}`"
        return markdown.page(results)

    return opened, [], [text]
