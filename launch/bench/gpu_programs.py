"""Parts of `launch.bench gpu` that start programs with deterministic operations."""

from collections.abc import Iterator
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from .. import shipped
from ..faults.campaign import Campaign, Experiment
from .gpu_parts import Row

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def deterministic(tiny: bool) -> Iterator[Row]:
    """The cost of deterministic operations, from programs with and without them."""
    del tiny
    times = []
    for flag in ("", _DETERMINISTIC):
        with tempfile.TemporaryDirectory() as folder:
            part = "--part=training_steps", f"--folder={folder}"
            subprocess.run(
                [*shipped.program("bench"), *sys.argv[1:], *part],
                env=os.environ | {"XLA_FLAGS": _with_flag(flag)},
                check=True,
            )
            rows = read(pathlib.Path(folder) / "training_steps.jsonl")
        times.append(
            {
                row["what"]: statistics.median(row["seconds_per_step"]["dlx"])
                for row in rows
                if "seconds_per_step" in row
            }
        )
    without, with_them = times
    for what, seconds in with_them.items():
        yield {
            "what": f"deterministic operations, {what}",
            "result": f"{seconds / without[what]:.2f} times the time without them",
            "seconds": seconds,
            "seconds_without": without[what],
        }


def _with_flag(flag):
    return f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()


def resume(tiny: bool) -> Iterator[Row]:
    """A run that is killed after a checkpoint, with deterministic operations."""
    os.environ["XLA_FLAGS"] = _with_flag(_DETERMINISTIC)  # of the programs that it runs
    steps = 40 if tiny else 4000
    settings = {"dataset": "digits", "num_steps": steps, "log_steps": steps // 20}
    settings["warmup_steps"] = steps // 10
    settings |= dict.fromkeys(("eval_steps", "checkpoint_steps"), steps // 10)
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment("cnn_digits", "cnn_mnist_fast", settings)
        campaign = Campaign(experiment, pathlib.Path(folder), seed=0)
        workdir = campaign.new_workdir()
        run = campaign.start(workdir)
        campaign.wait_for_a_checkpoint(workdir, [run])
        run.kill()
        run.communicate()
        output = campaign.finish(workdir)
        campaign.require_same(workdir)
        digest = json.loads((workdir / "summary.json").read_text(encoding="utf-8"))[
            "params_sha256"
        ]
    resumed = [line for line in output.splitlines() if "resum" in line]
    yield {
        "what": "cnn_mnist_fast on digits, killed and resumed",
        "result": "equal bit for bit to the undisturbed run",
        "params_sha256": digest,
        "resumed": resumed,
    }


def read(file: pathlib.Path) -> list[Row]:
    """The rows of a part's file, of each 'what' the last; other lines are skipped."""
    if not file.exists():
        return []
    rows = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the program was killed while it wrote
            continue
        rows[row["what"]] = row
    return list(rows.values())
