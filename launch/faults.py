"""Breaks runs on purpose, and sees whether they keep what is promised.

    python -m launch.faults --runs=20 --seed=0

Each experiment trains undisturbed, and then again and again, killed at random moments;
in the end its parameters and metrics must be the same, bit for bit. What cannot be
tried here (a small disk takes the right to mount one) is said, and counts for nothing.
"""

import collections
from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import json
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from launch import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags

from dlx.errors import UserError
from dlx.runtime import processes
from dlx.runtime.writers import read_lines

_RUNS = flags.DEFINE_integer("runs", 20, "Of each fault at random.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments and of what is damaged.")
_ONLY = flags.DEFINE_list("only", [], "Experiments and faults; by default all.")
_LOST_SECONDS = flags.DEFINE_integer("lost_seconds", 10, "As launch.main's.")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What is trained, for some seconds."""

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
            "checkpoint_steps": 100, "last_eval_samples": 500, "judge": False,
        },
    ),
)  # fmt: skip


class BrokenError(Exception):
    """A promise was broken."""


class UntriedError(Exception):
    """This machine cannot be broken in this way."""


class Campaign:
    """One experiment, and what becomes of it."""

    def __init__(self, experiment: Experiment, folder: pathlib.Path, seed: int):
        """Trains it undisturbed, twice: compiled programs are then kept."""
        self._experiment, self._folder = experiment, folder
        self.random = random.Random(f"{experiment.name} {seed}")
        self._runs = 0
        for name in ("first", "undisturbed"):
            began = time.monotonic()
            self.whole = folder / name
            self.finish(self.whole)
        self.seconds = time.monotonic() - began

    def workdir(self) -> pathlib.Path:
        """A new one."""
        self._runs += 1
        return self._folder / str(self._runs)

    def start(self, workdir: pathlib.Path, *more: str) -> subprocess.Popen:
        settings = self._experiment.settings | {"keep_checkpoints": 3}
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "launch.main", f"--workdir={workdir}"),
                f"--config=configs/{self._experiment.config}.py",
                *(f"--config.{name}={value}" for name, value in settings.items()),
                *more,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def moment(self) -> None:
        """Waits; until anything from the start to the end."""
        time.sleep(self.random.uniform(0, self.seconds))

    def finish(self, workdir: pathlib.Path) -> str:
        """Starts, waits for the end, and returns what was said."""
        run = self.start(workdir)
        said, _ = run.communicate()
        _require(run.returncode == 0, f"code {run.returncode}: {said[-300:]}")
        return said

    def require_same(self, workdir: pathlib.Path) -> None:
        """Parameters, metrics and evaluations are those of the undisturbed run."""
        theirs, ours = (
            json.loads((folder / "summary.json").read_text())
            for folder in (self.whole, workdir)
        )
        for name in ("status", "step", "params_sha256", "metrics"):
            _require(ours[name] == theirs[name], f"another {name}")
        theirs, ours = (
            [
                {name: n for name, n in line.items() if name != "train_seconds"}
                for line in read_lines(folder / "metrics.jsonl")
            ]
            for folder in (self.whole, workdir)
        )
        _require(ours == theirs, "other metrics")


def _require(held, why):
    if not held:
        raise BrokenError(why)


def killed(campaign: Campaign) -> str:
    """SIGKILL at a random moment; started again; the same in the end."""
    workdir = campaign.workdir()
    run = campaign.start(workdir)
    campaign.moment()
    run.kill()
    run.communicate()
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return "killed" if run.returncode == -signal.SIGKILL else "had ended"


def terminated(campaign: Campaign) -> str:
    """SIGTERM: saved, 'preempted', a code to requeue on; the same in the end."""
    workdir = campaign.workdir()
    run = campaign.start(workdir)
    campaign.moment()
    run.terminate()
    run.communicate()
    status = {0: "had ended", -signal.SIGTERM: "had not begun"}.get(run.returncode)
    if status is None:
        _require(run.returncode == 128 + signal.SIGTERM, f"code {run.returncode}")
        summary = json.loads((workdir / "summary.json").read_text())
        status = summary["status"]
        _require(status == "preempted", f"status {status}")
        saved = workdir / "checkpoints" / str(summary["step"])
        _require(saved.exists(), "its last step was not saved")
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return status


def damaged(campaign: Campaign) -> str:
    """A file of the newest checkpoint cut short, changed or gone: the one before."""
    workdir = campaign.workdir()
    shutil.copytree(campaign.whole, workdir)
    steps = sorted(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*"))
    newest = workdir / "checkpoints" / str(steps[-1])
    files = [p for p in newest.glob("state/**/*") if p.is_file()]
    file = max(files, key=lambda path: path.stat().st_size)  # which has the arrays
    how = campaign.random.choice(["cut", "changed", "gone"])
    content = bytearray(file.read_bytes())
    if how == "gone":
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[: campaign.random.randrange(len(content))])
    else:
        content[campaign.random.randrange(len(content))] ^= 255
        file.write_bytes(content)
    said = campaign.finish(workdir)
    campaign.require_same(workdir)
    if f"checkpoint {steps[-1]} is damaged" in said:
        _require(f"resuming from checkpoint {steps[-2]}" in said, "not from the last")
        return how
    return f"{how}, but whole"  # a byte between the arrays


def lost_peer(campaign: Campaign) -> str:
    """SIGKILL for one of two processes: the other ends in time; both start again."""
    workdir = campaign.workdir()
    with _pair(campaign, workdir) as pair:
        _wait_for_a_checkpoint(workdir, pair)
        campaign.moment()
        victim = campaign.random.randrange(2)
        pair[victim].kill()
        began = time.monotonic()
        other = pair[1 - victim]
        try:
            said, _ = other.communicate(timeout=_LOST_SECONDS.value + 60)
        except subprocess.TimeoutExpired:
            raise BrokenError(f"process {1 - victim} waits for ever") from None
        took = time.monotonic() - began
        code = other.returncode
    if code == 0:
        return "had ended"
    _require(code == processes.LOST, f"code {code}: {said[-300:]}")
    _require("another process is lost" in said, f"it said {said[-300:]}")
    _require(took < _LOST_SECONDS.value + 5, f"it took {took:.0f} s")
    with _pair(campaign, workdir) as pair:
        for run in pair:
            said, _ = run.communicate()
            _require(run.returncode == 0, f"code {run.returncode}: {said[-300:]}")
    return f"process {victim}"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def _pair(campaign, workdir) -> Iterator[list[subprocess.Popen]]:
    common = (
        "--distributed",
        f"--coordinator=localhost:{free_port()}",
        "--num_processes=2",
        f"--lost_seconds={_LOST_SECONDS.value}",
    )
    pair = [campaign.start(workdir, *common, f"--process_id={n}") for n in range(2)]
    try:
        yield pair
    finally:
        for run in pair:
            run.kill()
            run.wait()
            run.stdout.close()


def _wait_for_a_checkpoint(workdir, runs):
    while not list((workdir / "checkpoints").glob("[0-9]*[0-9]")):
        time.sleep(0.1)
        for run in runs:
            _require(run.poll() is None, "it ended before its first checkpoint")


def second_run(campaign: Campaign) -> str:
    """A second run in the same workdir is refused, and the first none the worse."""
    workdir = campaign.workdir()
    first = campaign.start(workdir)
    while not (workdir / ".lock").exists():
        time.sleep(0.05)
        _require(first.poll() is None, "it ended before it began")
    time.sleep(0.5)
    second = campaign.start(workdir)
    said, _ = second.communicate()
    if first.poll() is None:
        _require(second.returncode == 2, f"code {second.returncode}")
        _require("another process is already running in" in said, said[-300:])
    first.communicate()
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return "refused"


def full_disk(campaign: Campaign) -> str:
    """A line that says what is missing; the last whole checkpoint goes on."""
    size = sum(p.stat().st_size for p in campaign.whole.rglob("*") if p.is_file())
    checkpoints = campaign.whole / "checkpoints"
    one = size // max(1, len(list(checkpoints.glob("[0-9]*[0-9]"))))
    with _small_disk(size // 2 + one + 2**20) as disk:
        run = campaign.start(disk / "run", "--config.keep_checkpoints=100")
        said, _ = run.communicate()
        if run.returncode == 0:
            return "fitted"
        _require(run.returncode == 2, f"code {run.returncode}: {said[-300:]}")
        _require("MiB are missing" in said, said[-300:])
        workdir = campaign.workdir()
        shutil.copytree(disk / "run", workdir)
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return "told"


def read_only(campaign: Campaign) -> str:
    """A disk that cannot be written to is one line."""
    with _small_disk(2**20) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        run = campaign.start(disk / "run")
        said, _ = run.communicate()
    _require(run.returncode == 2, f"code {run.returncode}: {said[-300:]}")
    _require("cannot write in" in said and said.count("\n") == 1, said[-300:])
    return "told"


@contextlib.contextmanager
def _small_disk(size) -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise UntriedError("no right to mount a small disk") from None
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


AT_RANDOM = killed, terminated, damaged, lost_peer
ONCE = second_run, full_disk, read_only


def main() -> int:
    only = set(_ONLY.value)
    known = {e.name for e in EXPERIMENTS} | {f.__name__ for f in (*AT_RANDOM, *ONCE)}
    if only - known:
        raise UserError(f"--only knows {', '.join(sorted(known))}")
    chosen = [e for e in EXPERIMENTS if e.name in only] or EXPERIMENTS
    faults = [f for f in (*AT_RANDOM, *ONCE) if f.__name__ in only]
    broken = 0
    for experiment in chosen:
        with tempfile.TemporaryDirectory() as folder:
            campaign = Campaign(experiment, pathlib.Path(folder), _SEED.value)
            for fault in faults or (*AT_RANDOM, *ONCE):
                runs = _RUNS.value if fault in AT_RANDOM else 1
                broken += _try(fault, campaign, runs, experiment.name)
    return min(broken, 1)


def _try(fault: Callable[[Campaign], str], campaign, runs, name) -> int:
    """Prints how often a promise held, and returns how often it did not."""
    held, became, reasons = 0, collections.Counter(), []
    for _ in range(runs):
        try:
            became[fault(campaign)] += 1
            held += 1
        except BrokenError as error:
            reasons.append(str(error))
        except UntriedError as error:
            print(f"{name:14} {fault.__name__:12} not tried: {error}", flush=True)
            return 0
    how = ", ".join(f"{number} {what}" for what, number in became.most_common())
    print(f"{name:14} {fault.__name__:12} held {held} of {runs} ({how})", flush=True)
    for reason in reasons:
        print(f"    {' '.join(reason.split())}")
    return len(reasons)


if __name__ == "__main__":
    start.run(main)
