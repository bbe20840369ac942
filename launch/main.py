"""Trains what a config describes.

python -m launch.main --config=configs/pg_rocks16.py --config.seed=1
"""

from launch import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
from ml_collections import config_flags

from dlx import loop, tasks

_CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="The experiment's file."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run's folder; by default runs/CONFIG/TIMESTAMP."
)
_RESUME = flags.DEFINE_bool(
    "resume", True, "Go on from the workdir's newest checkpoint, where it has one."
)


def main() -> int:
    config = _CONFIG.value
    name, workdir = start.experiment(_WORKDIR.value)
    task = tasks.make(config)
    summary = loop.train(task, config, workdir, name=name, resume=_RESUME.value)
    numbers = ", ".join(f"{k} {v:.6g}" for k, v in summary["metrics"].items())
    print(
        f"{summary['status']} at step {summary['step']} after "
        f"{summary['train_seconds']:.1f} s of training: {numbers}\n{workdir}"
    )
    return 128 + summary["signal"] if summary["status"] == "preempted" else 0


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    start.run(main)
