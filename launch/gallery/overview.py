"""The tab of all runs: a table, curves over one another, figures, configs."""

import pathlib
from typing import Any

import gradio as gr
import pandas as pd
import plotly.graph_objects as plotly

from launch.gallery.models import told
from launch.report import html, runs

_SECONDS = 3  # from one look at the folder to the next
_MOST = 8  # runs beside each other
_COLUMNS = {
    **{"run": "str", "task": "str", "status": "str", "seed": "number"},
    **{"step": "number", "measure": "str", "value": "number", "seconds": "number"},
}


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for the page's load, its inputs and its outputs.
    """
    table = gr.Dataframe(
        headers=list(_COLUMNS),
        datatype=list(_COLUMNS.values()),
        interactive=False,
        show_search="filter",
        max_height=420,
        label="Click on a run",
        elem_id="runs",
    )
    chosen = gr.Dropdown(
        [], multiselect=True, max_choices=_MOST, label="Shown", elem_id="shown"
    )
    with gr.Row():
        metric = gr.Dropdown([], label="Curve of", elem_id="metric")
        by_step = gr.Checkbox(label="Steps, not seconds", value=True)
    plot = gr.Plot(show_label=False, elem_id="curves")
    differing = gr.HTML(elem_id="differing")
    figures = gr.HTML(elem_id="figures")
    with gr.Accordion("Resolved config", open=False):
        config = gr.Code(language="json", show_label=False, elem_id="config")
    seen = gr.State(())
    details = [metric, plot, differing, figures, config]

    def show(names, metric_name, steps):
        found = [runs.named(root, name) for name in names or []]
        curves = sorted(
            {c for run in found for c in run.curves}, key=_evaluations_first
        )
        if metric_name not in curves:
            wanted = [f"eval/{run.metric}" for run in found]
            metric_name = next((name for name in wanted if name in curves), None)
            metric_name = metric_name or (curves[0] if curves else None)
        return {
            metric: gr.Dropdown(choices=curves, value=metric_name),
            plot: _curves(found, metric_name, steps),
            differing: _differing(found),
            figures: html.figures(found[0]) if len(found) == 1 else _each(found),
            config: html.config(found[0]) if found else "",
        }

    def look(names, metric_name, steps, before, everything=False):
        """What has changed since `before`, a fingerprint of all that is shown."""
        found = runs.find(root)
        rows = [_row(run) for run in found]
        now = tuple(map(tuple, rows))
        updates = {seen: now}
        if now == before and not everything:
            return updates
        known = [run.name for run in found]
        sound = [run.name for run in found if not run.is_damaged]
        kept = [name for name in names or [] if name in known] or sound[:1]
        updates |= {
            table: gr.Dataframe(pd.DataFrame(rows, columns=list(_COLUMNS))),
            chosen: gr.Dropdown(choices=known, value=kept),
        }
        was = {row[0]: row for row in before}
        if everything or any(was.get(row[0]) != row for row in now if row[0] in kept):
            updates |= show(kept, metric_name, steps)
        return updates

    inputs, outputs = [chosen, metric, by_step], [*details, chosen, table, seen]

    def load(names, metric_name, steps):
        return look(names, metric_name, steps, (), everything=True)

    @told
    def pick(names, metric_name, steps, event: gr.SelectData):
        return {chosen: [event.row_value[0]], **show([event.row_value[0]], None, steps)}

    table.select(pick, inputs, [*details, chosen], show_progress="hidden")
    for part in chosen, metric, by_step:
        part.input(told(show), inputs, details, show_progress="hidden")
    gr.Timer(_SECONDS).tick(
        look, [*inputs, seen], outputs, show_progress="hidden", queue=True
    )
    return load, inputs, outputs


def _row(run):
    """Of the table; also what tells whether a run has moved."""
    value, seconds = run.value, run.seconds
    return [
        run.name,
        run.config.get("task", "?"),
        run.status,
        run.config.get("seed"),
        run.step,
        run.metric,
        None if value is None else float(f"{value:.5g}"),
        None if seconds is None else round(seconds, 1),
    ]


def _curves(found, metric_name, by_step):
    """A line for each run, on the same axes."""
    chart = plotly.Figure()
    for run in found:
        at, numbers = run.curve(metric_name or "")
        if not by_step:
            seconds = dict(zip(*run.curve("train_seconds"), strict=True))
            at = [seconds.get(step) for step in at]
        mode = "lines+markers" if len(at) < 30 else "lines"
        chart.add_scatter(x=at, y=numbers, name=run.name, mode=mode)
    chart.update_layout(
        height=340,
        margin={"l": 10, "r": 10, "t": 20, "b": 10},
        xaxis_title="step" if by_step else "seconds",
        yaxis_title=metric_name,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        showlegend=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return chart


def _evaluations_first(name):
    return not name.startswith("eval/"), name


def _differing(found):
    if len(found) != 2:
        return ""
    rows = [(field, *map(str, values)) for field, *values in runs.differences(*found)]
    return html.html("differences.html", names=[r.name for r in found], rows=rows)


def _each(found):
    parts = [
        html.html("heading.html", text=run.name) + html.figures(run) for run in found
    ]
    return "".join(parts)
