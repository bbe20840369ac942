"""Two processes that train as one, and what becomes of one without the other."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import loop, processes, rundir
from launch.faults.campaign import free_port

SETTINGS = {
    "num_envs": 32, "features": "(16,)", "eval_rocks": 100, "num_steps": 20,
    "log_steps": 5, "eval_steps": 10, "checkpoint_steps": 10,
    "env.rocks_per_episode": 3,
}  # fmt: skip


FAULTY = """
import os, sys
from configs import pg_rocks8
from dlx.runtime import checks, rundir
from dlx.runtime.checkpoint import Checkpoints
from dlx.errors import DivergedError, UserError
import jax

def get_config(fault):
    victim, fault = fault.split("-")
    if f"--process_id={victim}" in sys.argv:
        globals()[fault]()
    return pg_rocks8.get_config()

def space():
    def refuse(*_):
        raise UserError("no space for a checkpoint")
    rundir.require_space = refuse

def diverged():
    def refuse(*_):
        raise DivergedError("loss is nan at step 1")
    checks.require_finite = refuse

def memory():
    def refuse(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    checks.require_finite = refuse

def bug():
    def refuse(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")
    checks.require_finite = refuse

def abort():
    checks.require_finite = lambda *_: os.abort()

def damage():
    read = Checkpoints._read
    def refuse(self, step, **items):
        if step == 20 and "state" in items:
            raise ValueError("DATA_LOSS: a bit")
        return read(self, step, **items)
    Checkpoints._read = refuse
"""


CONFIG = "configs/pg_rocks8.py"


def _start(workdir, *more, devices=1, path=CONFIG, **settings):
    config = [f"--config.{name}={n}" for name, n in (SETTINGS | settings).items()]
    flags = os.environ["XLA_FLAGS"]  # the last of a kind counts
    flags += f" --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "launch.main", f"--workdir={workdir}"),
            *(f"--config={path}", *config, *more),
        ],
        env=os.environ | {"XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _pair(workdir, *more, **settings):
    coordinator = f"--coordinator=localhost:{free_port()}"
    common = coordinator, "--num_processes=2", *more
    return [
        _start(workdir, "--distributed", f"--process_id={n}", *common, **settings)
        for n in range(2)
    ]


def _end(*runs):
    said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), said
    return said


def _summary(workdir):
    return json.loads((workdir / "summary.json").read_text())


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run of two processes."""
    workdir = tmp_path_factory.mktemp("two")
    first, second = _end(*_pair(workdir))
    assert "done at step 20" in first and "done" not in second, "one speaks for both"
    return workdir


def test_two_processes_are_two_devices(two, tmp_path):
    _end(_start(tmp_path, devices=2))
    ours, theirs = _summary(tmp_path), _summary(two)
    assert ours["params_sha256"] == theirs["params_sha256"]
    assert ours["metrics"] == theirs["metrics"]
    # A program that its first call compiles takes a millisecond here.
    assert min(ours["compile_seconds"], theirs["compile_seconds"]) > 0.05
    assert (ours["processes"], ours["devices"]) == (1, 2)
    assert (theirs["processes"], theirs["devices"]) == (2, 2)
    assert (two / "figures" / "learning_curve.png").exists()


def test_on_another_number_of_devices_the_network_goes_on(two, tmp_path):
    before = _summary(two)
    two = shutil.copytree(two, tmp_path / "run")
    (said,) = _end(_start(two, num_steps=25))
    again = "envs, returns, last_returns start again"
    assert f"devices or of environments changed: {again}" in said
    after = _summary(two)
    assert (after["step"], after["devices"]) == (25, 1)
    assert after["params_sha256"] != before["params_sha256"]


@pytest.mark.parametrize(
    ("fault", "codes", "words"),
    [
        ("0-space", (2, 2), "no space for a checkpoint"),
        ("1-diverged", (1, 1), "loss is nan at step 1"),
        ("1-memory", (2, 2), "RESOURCE_EXHAUSTED: Out of memory"),
        ("1-bug", (1, 1), "INTERNAL: a bug"),
        ("1-abort", (75, -signal.SIGABRT), ""),
    ],
)
def test_all_end_as_the_one_that_fails(tmp_path, fault, codes, words):
    """With its code, and at once; 75 is for a process that is gone alone."""
    (tmp_path / "faulty.py").write_text(FAULTY)
    runs = _pair(tmp_path / "run", path=f"{tmp_path}/faulty.py:{fault}")
    said = [run.communicate(timeout=60)[0] for run in runs]
    assert tuple(run.returncode for run in runs) == codes, said
    assert all(words in text for text in said), said
    victim = int(fault[0])
    if words:
        assert f"process {victim} has ended: " in said[1 - victim]
    for text in said:
        assert ("Traceback" in text) == (fault == "1-bug" and text is said[1]), text


def test_processes_with_different_configs_do_not_train(tmp_path):
    common = f"--coordinator=localhost:{free_port()}", "--num_processes=2"
    runs = [
        _start(
            tmp_path,
            "--distributed",
            f"--process_id={n}",
            *common,
            discount=0.9 + n / 99,
        )
        for n in range(2)
    ]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [2, 2], said
    assert any("the config differs from that of process" in text for text in said)
    assert not (tmp_path / "config.json").exists()


def test_a_locked_workdir_stops_both(tmp_path):
    with rundir.lock(tmp_path):
        runs = _pair(tmp_path)
        said = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [2, 2], said
    assert all("another process is already running in" in text for text in said)


def test_what_one_finds_damaged_all_pass_over(two, tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY)
    folder = tmp_path / "run"
    shutil.copytree(two, folder)
    for text in _end(*_pair(folder, path=f"{tmp_path}/faulty.py:1-damage")):
        assert "checkpoint 20 is damaged" in text
        assert "resuming from checkpoint 10" in text
    assert _summary(folder)["params_sha256"] == _summary(two)["params_sha256"]
    assert (folder / "checkpoints" / "damaged" / "20-0").is_dir()


@pytest.mark.slow
def test_two_processes_have_one_reference_classifier(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys.modules[__name__], "SETTINGS", {})
    short = {"num_steps": 2, "log_steps": 1, "eval_steps": 2, "checkpoint_steps": 2}
    short |= {"eval_samples": 64, "last_eval_samples": 64}
    gan = short | {"g_channels": "(8,8)", "d_channels": "((8,8),)"}
    first, second = (
        _end(*_pair(tmp_path / run, path="configs/dcgan_digits.py", **gan))
        for run in ("a", "b")
    )
    assert first[0].count("reference classifier of digits: 2400/2400") == 1
    others = "".join([first[1], *second])
    assert "reference classifier of digits: " not in others, "it is trained once"
    assert _summary(tmp_path / "a")["metrics"] == _summary(tmp_path / "b")["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_without_the_other_a_process_ends_with_a_line(tmp_path, how, victim):
    runs = _pair(tmp_path, "--lost_seconds=5", num_steps=100_000)
    while not list((tmp_path / "checkpoints").glob("[0-9]*[0-9]")):
        time.sleep(0.1)
        assert all(run.poll() is None for run in runs)
    runs[victim].send_signal(how)
    said, _ = runs[1 - victim].communicate(timeout=60)
    runs[victim].kill()
    assert runs[1 - victim].returncode == processes.LOST
    assert f"process {1 - victim}: another process is lost" in said
    pair = _pair(tmp_path, num_steps=_newest(tmp_path) + 10)
    _end(*pair)


def test_a_process_that_waits_at_its_end_notices_too():
    program = (
        "import sys, time; from dlx.runtime import processes;"
        "process = int(sys.argv[2]);"
        "processes.connect(sys.argv[1], 2, process, 5); print('connected', flush=True);"
        "time.sleep(0 if process else 1000)"
    )
    address = f"localhost:{free_port()}"
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", program, address, str(process)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(2)
    )
    try:
        assert second.stdout.readline() == "connected\n"
        time.sleep(1)
        assert second.poll() is None, "the end of one waits for the other's"
        first.kill()
        said, _ = second.communicate(timeout=60)
    finally:
        first.kill()
        second.kill()
    assert second.returncode == processes.LOST
    assert "process 1: another process is lost" in said


def _newest(workdir):
    folder = workdir / "checkpoints"
    return max(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--distributed"], "--distributed requires --workdir"),
        (["--process_id=-1"], "flag --process_id=-1"),
    ],
)
def test_what_makes_no_process_is_a_line(arguments, why):
    program = [sys.executable, "-m", "launch.main", "--config=configs/pg_rocks8.py"]
    done = subprocess.run(
        [*program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and why in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1


def test_a_second_run_is_refused(config, tmp_path):
    refusal = pytest.raises(UserError, match="another process is already running in")
    with rundir.lock(tmp_path), refusal:
        loop.train(tasks.make(config), config, tmp_path, name="x")
    summary = loop.train(tasks.make(config), config, tmp_path, name="x")
    assert summary["status"] == "done"


def test_a_lock_on_another_file_of_the_same_number_is_none(tmp_path, monkeypatch):
    """As on another file system."""
    file = rundir.lock(tmp_path)
    assert rundir.is_locked(tmp_path)
    lines = [
        line
        for line in rundir._LOCKS.read_text().splitlines()
        if line.split()[5].endswith(f":{os.fstat(file.fileno()).st_ino}")
    ]
    (tmp_path / "locks").write_text("\n".join(lines))
    monkeypatch.setattr(rundir, "_LOCKS", tmp_path / "locks")
    assert rundir.is_locked(tmp_path)
    file.close()  # what the process locks is then something else
    assert not rundir.is_locked(tmp_path)


def test_a_checkpoint_that_does_not_fit_is_not_begun(config, tmp_path, monkeypatch):
    usual = rundir.shutil.disk_usage

    def filling(path):
        steps = [p.name for p in (tmp_path / "checkpoints").glob("[0-9]*")]
        return usual(path)._replace(free=2**20 if steps else 2**30)

    monkeypatch.setattr(rundir.shutil, "disk_usage", filling)
    with pytest.raises(
        UserError, match=r"0\.\d MiB are missing; the last is of step 4"
    ):
        loop.train(tasks.make(config), config, tmp_path, name="x")
    monkeypatch.undo()
    assert _summary(tmp_path)["status"] == "failed"
    summary = loop.train(tasks.make(config), config, tmp_path, name="x")
    assert (summary["status"], summary["step"]) == ("done", 12)


def test_one_process_agrees_with_itself():
    assert processes.first() and processes.anywhere(True)
    assert not processes.anywhere(False)
    digest = np.zeros(32, np.uint8).tobytes().hex()
    assert processes.gathered(digest) == digest
    processes.require_same("parameters", digest)
