"""Evaluates a trained run again, by default its best checkpoint.

python -m launch.evaluate --workdir=runs/pg_rocks16/20261125-120000
python -m launch.evaluate --workdir=runs/cnn_mnist/20261125-120000 --split=test

The best checkpoint is chosen on the validation split. Without a validation split
(config.validation=0) it is the last checkpoint, and evaluations use the test split.
"""

from . import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags

from dlx import tasks
from dlx.data import splits
from dlx.errors import UserError
from dlx.runtime import restore
from dlx.runtime.evaluate import evaluate

_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "The checkpoint to evaluate."
)
_SPLIT = flags.DEFINE_enum(
    "split",
    None,
    ["validation", "test"],
    "The split of the data; by default the one that training evaluates.",
)


def main() -> None:
    workdir = _WORKDIR.value
    run = restore.load(workdir, _make, best=_CHECKPOINT.value == "best")
    numbers = evaluate(run.task, run.keys, run.step, run.state)
    data = f", {splits.evaluated(run.config)} split" if "dataset" in run.config else ""
    print(f"{workdir}: {_CHECKPOINT.value} checkpoint, step {run.step}{data}")
    for name, number in numbers.items():
        print(f"{name.removeprefix('eval/'):20} {number:.6g}")


def _make(config):
    if _SPLIT.value:
        if "dataset" not in config:
            raise UserError(f"--split={_SPLIT.value}: the run has no data set")
        config.eval_split = _SPLIT.value
    return tasks.make(config)


if __name__ == "__main__":
    start.run(main)
