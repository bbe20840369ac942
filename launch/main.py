"""Trains the experiment that a config file describes.

python -m launch.main --config=configs/pg_rocks16.py --config.seed=1
"""

from . import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
from ml_collections import config_flags

from dlx import paths, tasks
from dlx.errors import UserError
from dlx.runtime import loop, processes, trackers

_CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="The experiment's config file."
)
_WORKDIR = start.path_flag(
    "workdir", None, "The run's folder; by default runs/CONFIG/TIMESTAMP."
)
_RESUME = flags.DEFINE_bool(
    "resume", True, "Resume from the workdir's newest checkpoint, if it has one."
)
_PROFILE = flags.DEFINE_bool(
    "profile",
    False,
    "Write a trace and a report of time and memory to WORKDIR/profile.",
)
_TRACKER = flags.DEFINE_list(
    "tracker",
    list(trackers.DEFAULT),
    "The trackers that get the numbers: tensorboard, trackio, wandb; or none.",
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "Run as one of several processes. Slurm, Open MPI, TPU pods and Kubernetes are "
    "detected; otherwise set the next three flags.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "ADDRESS:PORT of process 0, if it is not detected."
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes",
    None,
    "The number of processes, if it is not detected.",
    lower_bound=1,
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id",
    None,
    "This process's number from 0, if it is not detected.",
    lower_bound=0,
)
_LOST_SECONDS = flags.DEFINE_integer(
    "lost_seconds",
    60,
    "Seconds without a heartbeat after which another process is considered lost; this "
    f"process then exits with code {processes.LOST}.",
    lower_bound=5,
)


def main() -> int:
    tracker = [] if _TRACKER.value == ["none"] else _TRACKER.value
    trackers.require(tracker)
    if _DISTRIBUTED.value:
        settings = _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
        if _WORKDIR.value is None:
            raise UserError(
                "--distributed requires --workdir, the same for all processes"
            )
        processes.connect(*settings, _LOST_SECONDS.value)
    with processes.together():
        config = _CONFIG.value
        name, workdir = start.experiment(_WORKDIR.value)
        paths.resolve(config)
        task = tasks.make(config)
        options = {"resume": _RESUME.value, "profile": _PROFILE.value}
        options |= {"began": start.BEGAN, "tracker": tracker}
        summary = loop.train(task, config, workdir, name=name, **options)
        if processes.first():
            _print_summary(summary, workdir)
    return 128 + summary["signal"] if summary["status"] == "preempted" else 0


def _print_summary(summary, workdir):
    numbers = ", ".join(f"{k} {v:.6g}" for k, v in summary["metrics"].items())
    print(
        f"{summary['status']} at step {summary['step']} after "
        f"{summary['train_seconds']:.1f} s of training: {numbers}\n{workdir}"
    )


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    start.run(main, trains=True)
