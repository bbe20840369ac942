"""Writes a report of a run as one stand-alone HTML file.

    python -m launch.report --workdir=runs/vae_mnist/20261126-120000 --out=report.html

The file has the run's numbers, curves, figures and config. It needs no other files.
"""

import math

from .. import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import markupsafe

from dlx import figures
from dlx.errors import UserError
from dlx.runtime.writers import write_whole

from . import html, runs

_WORKDIR = start.path_flag("workdir", None, "The run's folder.")
_OUT = start.path_flag("out", "report.html", "The file.")
_FACTS = (
    *("task", "config", "status", "signal", "step", "seed", "train_seconds"),
    *("wall_seconds", "compile_seconds", "env_steps", "examples", "pixels"),
    *("devices", "processes", "device_kind", "versions", "provenance", "params_sha256"),
)


def main() -> None:
    folder = _WORKDIR.value.absolute()
    run = runs.read(folder.parent, folder)
    if run.is_damaged:
        raise UserError(run.status)
    out = _OUT.value
    try:
        write_whole(out, page(run))
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
    print(f"{out}: {out.stat().st_size / 2**20:.1f} MiB")


def page(run: runs.Run) -> str:
    """Renders the report."""
    summary = run.summary
    metrics = summary.get("metrics", {})
    facts = [(name, _text(summary[name])) for name in _FACTS if name in summary]
    return html.render(
        "report.html",
        run=run,
        heading=summary.get("config") or run.config["task"],
        numbers=[(name, _text(number)) for name, number in metrics.items()],
        curves=_curves(run),
        figures=markupsafe.Markup(html.figures(run)),
        facts=facts,
        config=html.config(run),
    )


def _curves(run):
    """Draws a panel for each metric, as a data URI; None if there are no metrics."""
    panels = {}
    for name in run.curves:
        steps, numbers = run.curve(name)
        if name != "train_seconds" and len(steps) > 1:
            panels[name] = {name: (steps, numbers)}
    return html.picture(figures.curves(panels, "step", columns=3)) if panels else None


def _text(value):
    """Formats a value."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else "missing"
    return value


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    start.run(main)
