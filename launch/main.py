"""Trains what a config describes.

python -m launch.main --config=configs/pg_rocks16.py --config.seed=1
"""

from launch import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
from ml_collections import config_flags

from dlx import paths, tasks
from dlx.errors import UserError
from dlx.runtime import loop, processes

_CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="The experiment's file."
)
_WORKDIR = start.path_flag(
    "workdir", None, "The run's folder; by default runs/CONFIG/TIMESTAMP."
)
_RESUME = flags.DEFINE_bool(
    "resume", True, "Go on from the workdir's newest checkpoint, where it has one."
)
_PROFILE = flags.DEFINE_bool(
    "profile", False, "Leave WORKDIR/profile: a trace, and where time and memory went."
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "This is one of several processes: of Slurm, Open MPI, a TPU pod or Kubernetes; or "
    "as the next three say.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "ADDRESS:PORT of process 0, where nothing else says so."
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "How many there are, likewise.", lower_bound=1
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Which of them this is, likewise.", lower_bound=0
)
_LOST_SECONDS = flags.DEFINE_integer(
    "lost_seconds",
    60,
    "How long without a sign of life until another process is taken for lost, and this "
    f"one ends with code {processes.LOST}.",
    lower_bound=5,
)


def main() -> int:
    if _DISTRIBUTED.value:
        by_hand = _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
        if _WORKDIR.value is None:
            raise UserError("--distributed needs a --workdir, the same for all")
        processes.connect(*by_hand, _LOST_SECONDS.value)
    with processes.together():
        config = _CONFIG.value
        name, workdir = start.experiment(_WORKDIR.value)
        paths.resolve(config)
        task = tasks.make(config)
        options = {"resume": _RESUME.value, "profile": _PROFILE.value}
        summary = loop.train(task, config, workdir, name=name, **options)
        if processes.first():
            _say(summary, workdir)
    return 128 + summary["signal"] if summary["status"] == "preempted" else 0


def _say(summary, workdir):
    numbers = ", ".join(f"{k} {v:.6g}" for k, v in summary["metrics"].items())
    print(
        f"{summary['status']} at step {summary['step']} after "
        f"{summary['train_seconds']:.1f} s of training: {numbers}\n{workdir}"
    )


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    start.run(main, trains=True)
