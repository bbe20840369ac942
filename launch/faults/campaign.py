"""An experiment under fault injection, and the undisturbed run to compare with."""

import dataclasses
import json
import pathlib
import random
import socket
import subprocess
import time

from dlx.runtime.writers import read_lines

from .. import shipped


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment of a few seconds.

    Attributes:
      name: The experiment's name.
      config: The name of its config file.
      settings: Overrides of the config's fields.
    """

    name: str
    config: str
    settings: dict[str, object] = dataclasses.field(default_factory=dict)


EXPERIMENTS = (
    Experiment("pg_rocks8", "pg_rocks8", {"num_steps": 400}),
    Experiment("dqn_rocks8", "dqn_rocks8"),
    Experiment(
        "vae",
        "vae_mnist",
        {
            "dataset": "digits", "num_steps": 600, "log_steps": 50, "eval_steps": 100,
            "checkpoint_steps": 100, "last_eval_samples": 50,
        },
    ),
    Experiment(
        "dcgan_digits",
        "dcgan_digits",
        {
            "num_steps": 400, "log_steps": 20, "eval_steps": 100,
            "checkpoint_steps": 100, "last_eval_samples": 500,
            "reference_classifier": False,
        },
    ),
    Experiment(
        "textgan",
        "textgan",
        {
            "batch_size": 16, "g_channels": (8, 8, 8), "d_channels": ((8, 8, 8),),
            "num_steps": 400, "log_steps": 20, "eval_steps": 100,
            "checkpoint_steps": 100, "eval_samples": 100, "last_eval_samples": 200,
        },
    ),
    Experiment(
        "style",
        "style",
        {
            "weights": "random", "size": 64, "scales": 2, "num_steps": 80,
            "log_steps": 10, "eval_steps": 20, "checkpoint_steps": 20,
        },
    ),
    Experiment(
        "pqn_rocks16",
        "pqn_rocks16",
        {
            "num_steps": 100, "log_steps": 5, "eval_steps": 20, "checkpoint_steps": 20,
            "eval_episodes": 100,
        },
    ),
)  # fmt: skip


class BrokenError(Exception):
    """A run did not recover as promised."""


class UntriedError(Exception):
    """This machine does not allow the fault to be injected."""


def require(condition: bool, message: str) -> None:
    """Raises BrokenError unless the condition holds."""
    if not condition:
        raise BrokenError(message)


class Campaign:
    """Runs of one experiment.

    Attributes:
      random: The random generator of the faults.
      undisturbed: The folder of the undisturbed run.
      seconds: The duration of the undisturbed run.
      lost_seconds: The value of launch.main's --lost_seconds.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: pathlib.Path,
        seed: int,
        lost_seconds: int = 10,
    ):
        """Trains undisturbed, twice: the second run finds its programs compiled.

        Args:
          experiment: The experiment.
          folder: The folder of all runs.
          seed: The random seed of the faults.
          lost_seconds: See the attribute.
        """
        self._experiment, self._folder = experiment, folder
        self.random = random.Random(f"{experiment.name} {seed}")
        self.lost_seconds = lost_seconds
        self._runs = 0
        for name in ("first", "undisturbed"):
            began = time.monotonic()
            self.undisturbed = folder / name
            self.finish(self.undisturbed)
        self.seconds = time.monotonic() - began

    def new_workdir(self) -> pathlib.Path:
        """Returns the path of a new run; the folder does not exist yet."""
        self._runs += 1
        return self._folder / str(self._runs)

    def start(self, workdir: pathlib.Path, *flags: str) -> subprocess.Popen:
        """Starts training in a process; its output is a pipe."""
        settings = self._experiment.settings | {"keep_checkpoints": 3}
        return subprocess.Popen(
            [
                *(*shipped.program("main"), f"--workdir={workdir}"),
                f"--config={shipped.CONFIGS / self._experiment.config}.py",
                *(f"--config.{name}={value}" for name, value in settings.items()),
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def program(
        self, workdir: pathlib.Path, name: str, *flags: str
    ) -> subprocess.Popen:
        """Starts another program of `launch` on a run; its output is a pipe."""
        return subprocess.Popen(
            [*shipped.program(name), f"--workdir={workdir}", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_randomly(self) -> None:
        """Sleeps for a random part of the duration of a run."""
        time.sleep(self.random.uniform(0, self.seconds))

    def wait_for_a_checkpoint(
        self, workdir: pathlib.Path, runs: list[subprocess.Popen]
    ) -> None:
        """Waits until a run of one or more processes has saved a checkpoint.

        Raises:
          BrokenError: if a process ends before that.
        """
        while not list((workdir / "checkpoints").glob("[0-9]*[0-9]")):
            time.sleep(0.1)
            for run in runs:
                require(run.poll() is None, "it ended before its first checkpoint")

    def finish(self, workdir: pathlib.Path) -> str:
        """Trains to the end and returns the output.

        Raises:
          BrokenError: if the exit code is not 0.
        """
        run = self.start(workdir)
        output, _ = run.communicate()
        require(run.returncode == 0, f"code {run.returncode}: {output[-300:]}")
        return output

    def require_same(self, workdir: pathlib.Path) -> None:
        """Compares parameters, metrics and evaluations with the undisturbed run.

        Raises:
          BrokenError: if they are not equal.
        """
        expected, actual = (
            json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            for folder in (self.undisturbed, workdir)
        )
        for name in ("status", "step", "params_sha256", "metrics"):
            require(actual[name] == expected[name], f"{name} differs")
        expected, actual = (
            [
                {name: n for name, n in line.items() if name != "train_seconds"}
                for line in read_lines(folder / "metrics.jsonl")
            ]
            for folder in (self.undisturbed, workdir)
        )
        require(actual == expected, "metrics.jsonl differs")


def free_port() -> int:
    """Returns a port of this machine that is not in use."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]
