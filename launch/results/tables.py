"""Tables of results, read from the runs and sweeps below a folder.

A table has the finished runs of one sweep, or those that belong to none, of one machine
and one version of the code. All values are JSON's.
"""

import collections
from collections.abc import Callable
import json
import math
import os
import pathlib
import shlex
import statistics
from typing import Any

from absl import logging
import ml_collections

from dlx.errors import UserError
from dlx.runtime import provenance, rundir

from .. import shipped
from ..report import runs
from ..sweep import comparison, plan

SINGLE = "single runs"
_ORIGIN = "machine", "cores", "commit"  # of a run's provenance
_PLACE = "device_kind", "devices", "processes", "versions"  # of its summary
_NO_SWEEP = ml_collections.ConfigDict()


def collect(root: pathlib.Path) -> dict[str, Any]:
    """Reads all finished runs below a folder.

    Returns:
      'commit', today's code, and 'tables', the newest first. A table has its 'title',
      the 'origin' that all its numbers have in common, 'commits_since', the number of
      commits that have changed the code since (None if that is unknown), 'dates', the
      first and the last, 'commands' and 'rows'. A row has the 'cell' that was trained,
      the 'seeds' that finished of those 'planned', whether they were trained
      'side_by_side', its 'metric', the 'measures' at the end of training, 'target' if
      there is one, and the 'train_seconds'. Numbers are {'median', 'low', 'high', 'n'}
      over the seeds.
    """
    cells = [*_cells_of_sweeps(root)]
    in_sweeps = {run.workdir for _, _, planned in cells for run in planned}
    cells += _single_cells(root, in_sweeps)
    tables = collections.defaultdict(list)
    for title, sweep, planned in cells:
        for origin, row in _rows(sweep, planned):
            tables[title, origin].append(row)
    made = [_table(title, json.loads(o), rows) for (title, o), rows in tables.items()]
    made.sort(key=lambda table: (table["dates"][1], table["title"]), reverse=True)
    return {"commit": provenance.commit(), "tables": made}


def _cells_of_sweeps(root):
    """(title, sweep, planned runs) of every cell of every sweep."""
    for folder, below, files in os.walk(root):
        below.sort()
        if "sweep.json" not in files:
            continue
        try:
            title, sweep, planned = plan.recorded(pathlib.Path(folder))
        except UserError as error:
            logging.warning("skipped a sweep: %s", error)
            continue
        cells = collections.defaultdict(list)
        for run in planned:
            cells[run.cell].append(run)
        yield from ((title, sweep, cell) for cell in cells.values())


def _single_cells(root, in_sweeps):
    """(title, sweep, runs) of runs that differ in their seeds only."""
    cells = collections.defaultdict(list)
    for found in runs.find(root):
        if found.folder in in_sweeps or found.is_damaged or not found.summary:
            continue
        name = found.summary.get("config") or found.name
        cell = [("config", name)]
        if settings := _settings(name, found.config):
            cell.append(("setting", settings))
        own = found.config.get("seeds") or [found.config.get("seed")]
        run = plan.Run(tuple(cell), tuple(own), found.config, found.folder)
        rest = {k: v for k, v in found.config.items() if k not in ("seed", "seeds")}
        cells[json.dumps([cell, rest], sort_keys=True)].append(run)
    for cell in cells.values():
        cell.sort(key=lambda run: run.seeds)
        yield SINGLE, _NO_SWEEP, cell


def _settings(name, config):
    """The fields in which a config differs from the one that dlx ships, as text."""
    path = shipped.CONFIGS / f"{name}.py"
    if not path.is_file():
        return ""
    default = shipped.load(path).get_config()
    default = json.loads(rundir.to_json(default.to_dict()))
    changed = [
        f"{field}={value}"
        for field, _, value in rundir.differences(default, config)
        if field not in ("seed", "seeds", "data_dir", "manual_dir")
    ]
    return ", ".join(changed)


def _rows(sweep, planned):
    """(origin, row) of every origin of a cell's finished runs."""
    parts = collections.defaultdict(list)
    for run in planned:
        try:
            summary = rundir.read_summary(run.workdir)
            if summary.get("status") == "done":
                for curve in comparison.curves(run, sweep):
                    parts[_origin(summary), curve.cell].append(curve)
        except (UserError, KeyError) as error:
            logging.warning("skipped %s: %s", run.workdir, error)
    # A seed that was trained twice counts once.
    number = len({seed for run in planned for seed in run.seeds})
    for (origin, cell), curves in parts.items():
        curves.sort(key=lambda curve: (_date(curve.summary), curve.seed))
        newest = sorted({curve.seed: curve for curve in curves}.items())
        yield origin, _row(planned[0], cell, [curve for _, curve in newest], number)


def _origin(summary):
    """The facts that all numbers of a table share, as sorted JSON."""
    ran = _provenance(summary)
    common = {name: ran.get(name) for name in _ORIGIN}
    return json.dumps(
        common | {name: summary.get(name) for name in _PLACE}, sort_keys=True
    )


def _provenance(summary):
    ran = summary.get("provenance")  # runs of older code have none
    return ran if isinstance(ran, dict) else {}


def _date(summary):
    return str(_provenance(summary).get("date") or "")


def _row(run, cell, curves, planned):
    names = dict.fromkeys(name for curve in curves for name in curve.measures)
    summaries = [curve.summary for curve in curves]
    return {
        "cell": dict(cell),
        "seeds": [curve.seed for curve in curves],
        "planned": planned,
        "side_by_side": "seeds" in run.config,
        "metric": next(iter(names)),
        "measures": {
            name: _statistics([c.measures.get(name, [math.nan])[-1] for c in curves])
            for name in names
        },
        "target": _target(curves),
        "train_seconds": _statistics([s["train_seconds"] for s in summaries]),
        "dates": sorted({_date(s)[:10] for s in summaries}),
        "commands": sorted({_command(s) for s in summaries}),
    }


def _command(summary):
    """The command of a run, without the folders that it names."""
    words = shlex.split(str(_provenance(summary).get("command") or ""))
    return shlex.join(word for word in words if not word.startswith("--workdir"))


def _target(curves):
    """The seeds that reach and hold the target, and the time; None without one."""
    if any(curve.targets is None for curve in curves):
        return None
    reached = [curve for curve in curves if curve.reached is not None]
    return {
        "held": sum(curve.held for curve in curves),
        "reached": len(reached),
        "steps": _statistics([c.steps[c.reached] for c in reached]),
        "seconds": _statistics([c.seconds[c.reached] for c in reached]),
    }


def _statistics(numbers):
    finite = [number for number in numbers if math.isfinite(number)]
    summaries: dict[str, Callable] = {
        "median": statistics.median,
        "low": min,
        "high": max,
    }
    found = {name: f(finite) if finite else None for name, f in summaries.items()}
    return found | {"n": len(finite)}


def _table(title, origin, rows):
    dates = sorted(date for row in rows for date in row.pop("dates"))
    commands = [command for row in rows for command in row["commands"]]
    commit = origin["commit"]
    known = commit and not commit.endswith("+changes")
    if title != SINGLE:  # one command trained all rows
        for row in rows:
            del row["commands"]
    return {
        "title": title,
        "origin": origin,
        "commits_since": provenance.commits_since(commit) if known else None,
        "dates": [dates[0], dates[-1]],
        "commands": sorted({c for c in commands if c}) if title != SINGLE else [],
        "rows": rows,
    }
