"""Comparison of runs: a table of medians, all numbers, and the learning curves."""

import collections
from collections.abc import Mapping, Sequence
import csv
import dataclasses
import io
import math
import pathlib
import statistics
from typing import Any

import numpy as np

from dlx import figures
from dlx.errors import UserError
from dlx.runtime.rundir import read_summary
from dlx.runtime.writers import read_lines, write_whole

from ..report.numbers import spread
from .plan import Cell, Run


@dataclasses.dataclass(frozen=True)
class Curve:
    """The evaluations of one training, and its run's summary.

    Attributes:
      cell: (axis, value as text) of every axis of the sweep.
      seed: The random seed.
      steps: The training step of each evaluation.
      seconds: The seconds of training until each evaluation.
      measures: {metric: its value at each evaluation}. The sweep's metric, or else the
        run's own, comes first, then the metrics of `also`.
      targets: The metric's target at each evaluation, or None.
      summary: The content of summary.json.
    """

    cell: Cell
    seed: int
    steps: list[int]
    seconds: list[float]
    measures: dict[str, list[float]]
    targets: list[float] | None
    summary: dict[str, Any]

    @property
    def values(self) -> list[float]:
        """The metric's value at each evaluation."""
        return next(iter(self.measures.values()))

    @property
    def reached(self) -> int | None:
        """The index of the first evaluation that reaches the target, or None."""
        hits = [i for i, v in enumerate(self.values) if v >= self.targets[i]]
        return hits[0] if hits else None

    @property
    def held(self) -> bool:
        """Whether every evaluation of the run's last quarter reaches the target."""
        first = len(self.values) - max(1, len(self.values) // 4)
        pairs = zip(self.values[first:], self.targets[first:], strict=True)
        return all(value >= target for value, target in pairs)


def write(
    sweep,
    runs: list[Run],
    workdir: pathlib.Path,
    diverged: Sequence[tuple[Run, str]] = (),
) -> None:
    """Writes table.md, runs.csv and curves.png.

    Args:
      sweep: Optionally has `metric`; optionally `target`, a number or the name of
        another metric that `metric` must reach; optionally `also`, further metrics to
        show. Without `metric` each run is measured by its own, and runs may lack the
        target and further metrics.
      runs: The finished runs.
      workdir: The folder of the files.
      diverged: Runs that diverged, each with the reason.

    Raises:
      UserError: if the runs do not evaluate a metric.
    """
    failed = [run for run, _ in diverged]
    cells = {cell: [] for run in [*runs, *failed] for cell, _, _ in run.members}
    if not cells:
        return
    for run in runs:
        for curve in curves(run, sweep):
            cells[curve.cell].append(curve)
    seeds = collections.Counter(cell for run in failed for cell, _, _ in run.members)
    text = table(sweep, cells, seeds)
    if diverged:
        text += "\nDiverged, and not included in the table's numbers:\n\n"
        text += "".join(f"- {run.name}: {reason}\n" for run, reason in diverged)
    write_whole(workdir / "table.md", text)
    write_whole(workdir / "runs.csv", rows(sweep, cells))
    if finished := {cell: done for cell, done in cells.items() if done}:
        figures.save(workdir, "curves", plot(finished))


def plot(cells: dict[tuple, list[Curve]]) -> np.ndarray:
    """Plots a panel per config and metric, a line per cell, bands over seeds."""
    panels = {}
    for cell, done in cells.items():
        (_, title), *rest = cell
        label = ", ".join(text for _, text in rest) or title
        points = min(len(curve.steps) for curve in done)
        for name in done[0].measures:
            values = [curve.measures[name][:points] for curve in done]
            panel = panels.setdefault(f"{title}: {name}", {})
            panel[label] = done[0].steps[:points], np.stack(values, axis=1)
    return figures.curves(panels, "step", columns=3)


def curves(run: Run, sweep) -> list[Curve]:
    """Reads the evaluations of a finished run, a curve per training."""
    summary = read_summary(run.workdir)
    lines = read_lines(run.workdir / "metrics.jsonl")
    lines = [line for line in lines if any(key.startswith("eval/") for key in line)]
    target = sweep.get("target")

    def key(name, ending):
        return f"eval/{name}{ending}"

    def has(name):
        return any(key(name, run.members[0][2]) in line for line in lines)

    def evaluated(name, ending):
        if not has(name):
            raise UserError(f"{run.name} does not evaluate {name!r}")
        # Some metrics are only in the last evaluation.
        return [line.get(key(name, ending), math.nan) for line in lines]

    def targets(ending):
        if isinstance(target, str):
            return evaluated(target, ending)
        return None if target is None else [target] * len(lines)

    names = _measures(sweep)
    if sweep.get("metric") is None:
        names = [summary["metric"], *filter(has, names)]
        target = target if not isinstance(target, str) or has(target) else None
    return [
        Curve(
            cell,
            seed,
            [line["step"] for line in lines],
            [line["train_seconds"] for line in lines],
            {name: evaluated(name, ending) for name in names},
            targets(ending),
            summary,
        )
        for cell, seed, ending in run.members
    ]


def table(
    sweep, cells: dict[tuple, list[Curve]], diverged: Mapping[tuple, int] | None = None
) -> str:
    """Markdown table, one row per cell, of medians with ranges in brackets.

    Args:
      sweep: As for `write`.
      cells: The finished runs of each cell.
      diverged: The number of seeds of each cell that diverged.
    """
    diverged = diverged or {}
    axes, measures = _axes(cells), _all_measures(sweep, cells)
    has_target = sweep.get("target") is not None
    head = [*axes, "seeds", *(f"final {name}" for name in measures)]
    if has_target:
        head += ["target held in the last quarter", "steps to target"]
        head += ["training seconds to target"]
    head += ["seconds of the run"]
    lines = [head, ["---"] * len(head)]
    for cell, done in cells.items():
        planned = len(done) + diverged.get(cell, 0)
        seeds = str(planned) if planned == len(done) else f"{len(done)} of {planned}"
        finals = [
            [curve.measures[name][-1] for curve in done if name in curve.measures]
            for name in measures
        ]
        line = [dict(cell).get(axis, "") for axis in axes]
        line += [seeds, *map(_median, finals)]
        if has_target:
            line += _target_columns(done)
        line += [_median([curve.summary["train_seconds"] for curve in done])]
        lines.append(line)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _target_columns(done):
    """The number of seeds that hold the target; steps and seconds to the target."""
    if done and done[0].targets is None:
        return ["-"] * 3
    held = f"{sum(curve.held for curve in done)} of {len(done)}"
    reached = [curve for curve in done if curve.reached is not None]
    count = f" ({len(reached)} of {len(done)})" if len(reached) < len(done) else ""
    steps = [curve.steps[curve.reached] for curve in reached]
    seconds = [curve.seconds[curve.reached] for curve in reached]
    return [held, _median(steps) + count, _median(seconds) + count]


def rows(sweep, cells: dict[tuple, list[Curve]]) -> str:
    """CSV, one row per cell and seed."""
    text = io.StringIO()
    axes, measures = _axes(cells), _all_measures(sweep, cells)
    writer = csv.writer(text, lineterminator="\n")
    of_target = ["held", "steps_to_target", "train_seconds_to_target"]
    of_run = ["train_seconds", "params_sha256"]
    writer.writerow([*axes, "seed", *measures, *of_target, *of_run])
    for cell, done in cells.items():
        for curve in done:
            target = ["", "", ""]
            if curve.targets:
                first = curve.reached
                target = [int(curve.held), "", ""]
                if first is not None:
                    target[1:] = [curve.steps[first], curve.seconds[first]]
            finals = [curve.measures.get(name, [""])[-1] for name in measures]
            summary = [curve.summary[name] for name in of_run]
            axis_values = [dict(cell).get(axis, "") for axis in axes]
            writer.writerow([*axis_values, curve.seed, *finals, *target, *summary])
    return text.getvalue()


def _axes(cells):
    """The names of all axes; a cell may lack some."""
    return list(dict.fromkeys(axis for cell in cells for axis, _ in cell))


def _measures(sweep):
    """The names of the metrics that a sweep names itself."""
    return [name for name in (sweep.get("metric"), *sweep.get("also", ())) if name]


def _all_measures(sweep, cells):
    """The names of the metrics of all cells, in the order in which they appear."""
    if sweep.get("metric"):
        return _measures(sweep)
    curves = [curve for done in cells.values() for curve in done]
    found = [name for curve in curves for name in curve.measures]
    return list(dict.fromkeys(found))


def _median(numbers):
    """Median and range of the finite numbers, and their number if some are not."""
    finite = [number for number in numbers if math.isfinite(number)]
    missing = len(finite) < len(numbers)
    count = f" ({len(finite)} of {len(numbers)})" if missing else ""
    if not finite:
        return f"-{count}"
    middle = statistics.median(finite)
    return spread(min(finite), middle, max(finite)) + count
