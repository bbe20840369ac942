"""Evaluates a trained run again, by default its best checkpoint.

python -m launch.evaluate --workdir=runs/pg_rocks16/20261125-120000
"""

from launch import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags

from dlx import tasks
from dlx.runtime import loop, restore

_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "The checkpoint to evaluate."
)


def main() -> None:
    workdir = _WORKDIR.value
    run = restore.load(workdir, tasks.make, best=_CHECKPOINT.value == "best")
    numbers = loop.evaluate(run.task, run.keys, run.step, run.state)
    print(f"{workdir}: {_CHECKPOINT.value} checkpoint, step {run.step}")
    for name, number in numbers.items():
        print(f"{name.removeprefix('eval/'):20} {number:.6g}")


if __name__ == "__main__":
    start.run(main)
