"""Runs side by side: a table, every number, and the learning curves."""

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
from launch.sweep.plan import Run


@dataclasses.dataclass(frozen=True)
class Curve:
    """What one seed did: evaluations [points], and the run's summary.

    Attributes:
      seed: Of the run.
      steps: Of training, before each evaluation.
      seconds: Of training, likewise.
      measures: Values of the sweep's metric, and then of those beside it.
      targets: That the metric is to reach, or None.
      summary: As in summary.json.
    """

    seed: int
    steps: list[int]
    seconds: list[float]
    measures: dict[str, list[float]]
    targets: list[float] | None
    summary: dict[str, Any]

    @property
    def values(self) -> list[float]:
        """Of the metric."""
        return next(iter(self.measures.values()))

    @property
    def reached(self) -> int | None:
        """The first evaluation at the target."""
        hits = [i for i, v in enumerate(self.values) if v >= self.targets[i]]
        return hits[0] if hits else None

    @property
    def held(self) -> bool:
        """Whether every evaluation of the run's last quarter is at the target."""
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
      sweep: Its `metric`, and perhaps its `target`, a number or what else of the
        evaluation the metric is to reach; perhaps `also`, measures to show beside it.
      runs: Finished ones.
      workdir: Where to.
      diverged: Runs that did not finish, and how they diverged.

    Raises:
      UserError: where the runs evaluate no such thing.
    """
    lost = [run for run, _ in diverged]
    cells = {run.cell: [] for run in [*runs, *lost]}
    if not cells:
        return
    for run in runs:
        cells[run.cell] += curves(run, sweep)
    seeds = collections.Counter()
    for run in lost:
        seeds[run.cell] += len(run.seeds)
    text = table(sweep, cells, seeds)
    if diverged:
        text += "\nDiverged, and not in the table's numbers:\n\n"
        text += "".join(f"- {run.name}: {why}\n" for run, why in diverged)
    write_whole(workdir / "table.md", text)
    write_whole(workdir / "runs.csv", rows(sweep, cells))
    if finished := {cell: done for cell, done in cells.items() if done}:
        figures.save(workdir, "curves", plot(finished))


def plot(cells: dict[tuple, list[Curve]]) -> np.ndarray:
    """A panel for each config and measure, a line for each cell; bands over seeds."""
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
    """The evaluations of a finished run, a curve for each of its seeds."""
    summary = read_summary(run.workdir)
    lines = read_lines(run.workdir / "metrics.jsonl")
    lines = [line for line in lines if any(key.startswith("eval/") for key in line)]
    target = sweep.get("target")

    def evaluated(name, seed):
        key = f"eval/{name}/{seed}" if "seeds" in run.config else f"eval/{name}"
        if not any(key in line for line in lines):
            raise UserError(f"{run.name} evaluates no {name!r}")
        return [line.get(key, math.nan) for line in lines]  # perhaps only the last has

    def targets(seed):
        if isinstance(target, str):
            return evaluated(target, seed)
        return None if target is None else [target] * len(lines)

    return [
        Curve(
            seed,
            [line["step"] for line in lines],
            [line["train_seconds"] for line in lines],
            {name: evaluated(name, seed) for name in _measures(sweep)},
            targets(seed),
            summary,
        )
        for seed in run.seeds
    ]


def table(
    sweep, cells: dict[tuple, list[Curve]], diverged: Mapping[tuple, int] | None = None
) -> str:
    """Markdown table, one row per cell: medians, with ranges in brackets.

    Args:
      sweep: As for `write`.
      cells: Finished runs of each cell.
      diverged: How many more seeds of a cell did not finish.
    """
    diverged = diverged or {}
    axes = [name for name, _ in next(iter(cells))]
    judged = sweep.get("target") is not None
    measures = _measures(sweep)
    head = [*axes, "seeds", *(f"{name} at the end" for name in measures)]
    if judged:
        head += ["at the target throughout the last quarter", "steps until first there"]
        head += ["seconds of training until then"]
    head += ["seconds of the run"]
    lines = [head, ["---"] * len(head)]
    for cell, done in cells.items():
        line = [text for _, text in cell]
        ends = [[curve.measures[name][-1] for curve in done] for name in measures]
        planned = len(done) + diverged.get(cell, 0)
        seeds = str(planned) if planned == len(done) else f"{len(done)} of {planned}"
        line += [seeds, *map(_median, ends)]
        if judged:
            line += [f"{sum(curve.held for curve in done)} of {len(done)}"]
            there = [curve for curve in done if curve.reached is not None]
            lacking = (
                f" ({len(there)} of {len(done)})" if len(there) < len(done) else ""
            )
            steps = [curve.steps[curve.reached] for curve in there]
            seconds = [curve.seconds[curve.reached] for curve in there]
            line += [_median(steps) + lacking, _median(seconds) + lacking]
        line += [_median([curve.summary["train_seconds"] for curve in done])]
        lines.append(line)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rows(sweep, cells: dict[tuple, list[Curve]]) -> str:
    """A line of CSV a cell and seed."""
    text = io.StringIO()
    axes = [name for name, _ in next(iter(cells))]
    writer = csv.writer(text, lineterminator="\n")
    reached = ["held", "steps_to_target", "train_seconds_to_target"]
    whole = ["train_seconds", "params_sha256"]
    writer.writerow([*axes, "seed", *_measures(sweep), *reached, *whole])
    for cell, done in cells.items():
        for curve in done:
            reach = [""] * 3
            if curve.targets:
                first = curve.reached
                reach = [int(curve.held), "", ""]
                if first is not None:
                    reach[1:] = [curve.steps[first], curve.seconds[first]]
            ends = [values[-1] for values in curve.measures.values()]
            summary = [curve.summary[name] for name in whole]
            cell_text = [text for _, text in cell]
            writer.writerow([*cell_text, curve.seed, *ends, *reach, *summary])
    return text.getvalue()


def _measures(sweep):
    return sweep.metric, *sweep.get("also", ())


def _median(numbers):
    """Median and range of the numbers that are finite, and how many those are."""
    known = [number for number in numbers if math.isfinite(number)]
    lacking = f" ({len(known)} of {len(numbers)})" if len(known) < len(numbers) else ""
    if not known:
        return f"-{lacking}"
    low, middle, high = min(known), statistics.median(known), max(known)
    between = "" if low == high else f" ({low:.4g} ... {high:.4g})"
    return f"{middle:.4g}{between}{lacking}"
