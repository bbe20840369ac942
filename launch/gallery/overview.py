"""The tab of all runs: a table, learning curves, figures and configs."""

import pathlib
from typing import Any

import gradio as gr
import pandas as pd
import plotly.graph_objects as plotly

from ..report import html, runs
from .models import LATEST, show_user_errors

_SECONDS = 3  # between two readings of the folder
_MOST = 8  # runs shown at the same time
_GREY, _GRID = "#808080", "rgba(128,128,128,0.25)"  # on light and dark pages
_COLUMNS = {
    **{"run": "str", "task": "str", "status": "str", "seed": "number"},
    **{"step": "number", "metric": "str", "value": "number", "seconds": "number"},
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
    selected = gr.Dropdown(
        [], multiselect=True, max_choices=_MOST, label="Shown", elem_id="shown"
    )
    by_step, details = _lay_out_details()
    fingerprint = gr.State(())
    inputs = [selected, details[0], by_step]
    outputs = [*details, selected, table, fingerprint]

    def refresh(names, metric_name, steps, before, everything=False):
        return _refresh(
            root, outputs, names, metric_name, steps, before, everything=everything
        )

    def load(names, metric_name, steps):
        return refresh(names, metric_name, steps, (), everything=True)

    @show_user_errors
    def show(names, metric_name, steps):
        return _details(root, details, names, metric_name, steps)

    @show_user_errors
    def pick(names, metric_name, steps, event: gr.SelectData):
        names = [event.row_value[0]]
        return {selected: names, **_details(root, details, names, None, steps)}

    table.select(pick, inputs, [*details, selected], **LATEST)
    for part in inputs:
        part.input(show, inputs, details, **LATEST)
    gr.Timer(_SECONDS).tick(
        refresh, [*inputs, fingerprint], outputs, show_progress="hidden", queue=True
    )
    return load, inputs, outputs


def _lay_out_details():
    """The choice of steps or seconds; metric, plot, differences, figures, config."""
    with gr.Row():
        metric = gr.Dropdown([], label="Curve of", elem_id="metric", min_width=240)
        by_step = gr.Checkbox(label="Steps, not seconds", value=True)
    plot = gr.Plot(show_label=False, elem_id="curves")
    differing = gr.HTML(elem_id="differing")
    figures = gr.HTML(elem_id="figures")
    with gr.Accordion("Resolved config", open=False):
        config = gr.Code(language="json", show_label=False, elem_id="config")
    return by_step, [metric, plot, differing, figures, config]


def _refresh(root, outputs, names, metric_name, steps, before, everything):
    """Reads all runs and updates the outputs that have changed.

    Args:
      root: The folder that contains the runs.
      outputs: The details (metric, plot, differences, figures, config), the dropdown of
        selected runs, the table and the fingerprint.
      names: The selected runs.
      metric_name: The selected metric.
      steps: Whether curves are over steps, not seconds.
      before: The fingerprint of the previous reading: the table's rows.
      everything: Whether all outputs are updated even if nothing has changed.
    """
    *details, selected, table, fingerprint = outputs
    all_runs = runs.find(root)
    rows = [_row(run) for run in all_runs]
    now = tuple(map(tuple, rows))
    updates = {fingerprint: now}
    if now == before and not everything:
        return updates
    known = [run.name for run in all_runs]
    intact = [run.name for run in all_runs if not run.is_damaged]
    value = [name for name in names or [] if name in known] or intact[:1]
    updates |= {
        table: gr.Dataframe(pd.DataFrame(rows, columns=list(_COLUMNS))),
        selected: gr.Dropdown(choices=known, value=value),
    }
    previous = {row[0]: row for row in before}
    changed = any(previous.get(row[0]) != row for row in now if row[0] in value)
    if everything or changed:
        updates |= _details(root, details, value, metric_name, steps)
    return updates


def _details(root, details, names, metric_name, steps):
    """Updates the details of the selected runs."""
    metric, plot, differing, figures, config = details
    selected = [runs.named(root, name) for name in names or []]
    curves = sorted({c for run in selected for c in run.curves}, key=_evaluations_first)
    if metric_name not in curves:
        preferred = [f"eval/{run.metric}" for run in selected]
        metric_name = next((name for name in preferred if name in curves), None)
        metric_name = metric_name or (curves[0] if curves else None)
    return {
        metric: gr.Dropdown(choices=curves, value=metric_name),
        plot: _curves(selected, metric_name, steps),
        differing: _differences(selected),
        figures: html.figures(selected[0]) if len(selected) == 1 else _each(selected),
        config: html.config(selected[0]) if selected else "",
    }


def _row(run):
    """A run's row in the table, which also shows whether the run has changed."""
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


def _curves(selected, metric_name, by_step):
    """A chart with a line for each run."""
    chart = plotly.Figure()
    for run in selected:
        x, values = run.curve(metric_name or "")
        if not by_step:
            seconds = dict(zip(*run.curve("train_seconds"), strict=True))
            x = [seconds.get(step) for step in x]
        mode = "lines+markers" if len(x) < 30 else "lines"
        chart.add_scatter(x=x, y=values, name=run.name, mode=mode)
    chart.update_layout(
        height=340,
        margin={"l": 10, "r": 10, "t": 20, "b": 10},
        xaxis_title="step" if by_step else "seconds",
        yaxis_title=metric_name,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        showlegend=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _GREY},
    )
    chart.update_xaxes(gridcolor=_GRID, zerolinecolor=_GRID)
    chart.update_yaxes(gridcolor=_GRID, zerolinecolor=_GRID)
    return chart


def _evaluations_first(name):
    return not name.startswith("eval/"), name


def _differences(selected):
    """The differences of two runs' configs; '' unless two runs are selected."""
    if len(selected) != 2:
        return ""
    differences = runs.differences(*selected)
    rows = [(field, *map(str, values)) for field, *values in differences]
    names = [run.name for run in selected]
    return html.render("differences.html", names=names, rows=rows)


def _each(selected):
    """The figures of several runs, each below its name."""
    parts = [
        html.render("heading.html", text=run.name) + html.figures(run)
        for run in selected
    ]
    return "".join(parts)
