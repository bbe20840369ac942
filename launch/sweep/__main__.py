"""Trains several configs with a grid of settings and several seeds, and compares them.

python -m launch.sweep --config=configs/sweeps/rocks_table.py

The workdir holds a run for each cell and seed; sweep.json, which names them; and
table.md, runs.csv and curves.png, which are updated after every run. A stopped sweep is
resumed with its --workdir. Runs that diverged are listed below the table, and the exit
code is then 1.
"""

from .. import start  # isort: skip, it quietens XLA before anything loads it

import pathlib

from absl import flags
from ml_collections import config_flags

from dlx.errors import UserError
from dlx.runtime import signals

from . import comparison, plan

_CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="The sweep's config file."
)
_WORKDIR = start.path_flag(
    "workdir", None, "The sweep's folder; by default runs/SWEEP/TIMESTAMP."
)
_RESUME = flags.DEFINE_bool(
    "resume", True, "Keep the workdir's finished runs and resume the sweep."
)
_DRY = flags.DEFINE_bool("dry", False, "Verify and list the runs, and train nothing.")


def main() -> int:
    sweep = _CONFIG.value
    if _DRY.value:
        runs = plan.make(sweep, pathlib.Path("runs"))
        print(*(run.name for run in runs), f"{len(runs)} runs", sep="\n")
        return 0
    name, workdir = start.experiment(_WORKDIR.value)
    workdir = workdir.absolute()
    runs = plan.make(sweep, workdir)
    if not _RESUME.value and any(run.workdir.exists() for run in runs):
        raise UserError(f"{workdir} already holds a sweep; choose another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    plan.record(sweep, runs, name, workdir)
    diverged = {}
    with signals.caught() as stop:
        done = {run.workdir for run in runs if plan.is_done(run)}
        _compare(sweep, runs, done, diverged, workdir)
        for number, run in enumerate(runs, start=1):
            if run.workdir in done:
                continue
            if not stop:
                print(f"[{number}/{len(runs)}] {run.name}", flush=True)
                reason = plan.train(run)
            if stop:
                print(f"stopped; resume with --workdir={workdir}")
                return 128 + stop[0]
            if reason:
                diverged[run.workdir] = reason
            elif plan.is_done(run):
                done.add(run.workdir)
            _compare(sweep, runs, done, diverged, workdir)
    if (workdir / "table.md").exists():
        print((workdir / "table.md").read_text(encoding="utf-8"))
    print(workdir)
    return 1 if diverged else 0


def _compare(sweep, runs, done, diverged, workdir):
    """Writes the comparison of the runs so far."""
    finished = [run for run in runs if run.workdir in done]
    failed = [(run, diverged[run.workdir]) for run in runs if run.workdir in diverged]
    comparison.write(sweep, finished, workdir, failed)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    start.run(main, trains=True)
