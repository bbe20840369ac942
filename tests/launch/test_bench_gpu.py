"""The GPU's bench: a schedule of programs that hang or fail, and every part, tiny."""

import collections
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time

from absl import flags
import pytest

from dlx.errors import UserError
from launch.bench import (
    bandwidth,
    classifiers,
    envs,
    gan,
    gpu,
    gpu_parts,
    gpu_programs,
    progress,
    style,
    vae,
)

# Stands in for Python. One part hangs, with a program of its own, and others fail.
PROGRAM = """#!/bin/sh
row() { echo "{\\"what\\": \\"$1\\", \\"result\\": \\"$2\\" $3}" >> $OUT/$part.jsonl; }
part=$(echo "$*" | sed 's/.*--part=//')
row machine "a machine"
case $part in
cifar10) row seeds "1 of 5"; row seeds "2 of 5"; sleep 60 & echo $! > $OUT/pid; wait;;
mnist) cp $OUT/results.json $OUT/earlier.json; exit 3;;
agents) row end "ValueError: no" ', "status": "failed"'; exit 1;;
minatar) row end "gymnax is missing" ', "status": "skipped"';;
style) row "256x256" "1 ms";;
esac
"""
PARTS = "cifar10", "mnist", "agents", "minatar", "style"


def _is_running(pid):
    """Whether a process runs; a zombie does not."""
    stat = pathlib.Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_parts_that_hang_or_fail_do_not_stop_the_others(monkeypatch, tmp_path, capsys):
    program = tmp_path / "python"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(sys, "argv", ["bench", "gpu"])
    monkeypatch.setenv("OUT", str(tmp_path))
    pid = tmp_path / "pid"

    class Popen(subprocess.Popen):
        def wait(self, timeout=None):
            if not (timeout and "--part=cifar10" in self.args):
                return super().wait(timeout)
            while not (pid.exists() and pid.read_text().endswith("\n")):
                time.sleep(0.01)
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    chosen = f"--parts={','.join(PARTS)}"
    flags.FLAGS(["bench", "--minutes=12", f"--folder={tmp_path}", chosen])
    assert gpu.main() == 1, "a part failed"
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == list(PARTS)
    ends = {name: (part["status"], part["error"]) for name, part in results.items()}
    assert ends == {
        "cifar10": ("cut", "it has at most 200 s"),
        "mnist": ("failed", "exit code 3; see its log"),
        "agents": ("failed", "ValueError: no"),
        "minatar": ("skipped", "gymnax is missing"),
        "style": ("done", None),
    }
    seeds = {"what": "seeds", "result": "2 of 5"}
    assert results["cifar10"]["rows"] == [seeds], "measured before it was cut"
    assert results["style"]["rows"] == [{"what": "256x256", "result": "1 ms"}]
    earlier = json.loads((tmp_path / "earlier.json").read_text())
    assert earlier == {"cifar10": results["cifar10"]}, "written after each part"
    deadline = time.monotonic() + 10
    while _is_running(pid.read_text().strip()):
        assert time.monotonic() < deadline, "what a part started ends with it"
        time.sleep(0.05)
    lines = capsys.readouterr().out.splitlines()
    assert "cifar10: cut after" in lines[0]
    assert lines[0].endswith(" 1 rows; it has at most 200 s")
    assert "a machine" in lines and lines[-1] == str(tmp_path / "results.json")
    assert any(line.split() == ["style", "256x256", "1", "ms"] for line in lines)


def test_without_time_a_part_is_not_run(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(gpu, "_SHORTEST", 1000)
    flags.FLAGS(["bench", "--minutes=12", f"--folder={tmp_path}", "--parts=streamed"])
    assert gpu.main() == 0
    part = json.loads((tmp_path / "results.json").read_text())["streamed"]
    assert (part["status"], part["error"]) == ("not run", "no time is left")


@pytest.mark.parametrize(
    ("error", "status"), [(UserError("no data"), "skipped"), (ValueError("1\n2"), None)]
)
def test_an_error_is_a_line(monkeypatch, tmp_path, error, status):
    def rows(tiny):
        yield {"what": "before", "result": "1"}
        raise error

    monkeypatch.setitem(gpu._HIDDEN, "broken", gpu.Part(rows, 1, is_on_device=False))
    flags.FLAGS(["bench", f"--folder={tmp_path}"])
    if status:
        assert gpu._measure("broken") == 0
    else:
        with pytest.raises(ValueError, match="1"):
            gpu._measure("broken")
    before, end = gpu_programs.read(tmp_path / "broken.jsonl")
    assert before["what"] == "before" and end["what"] == "end"
    expected = ("skipped", "no data") if status else ("failed", "ValueError: 1")
    assert (end["status"], end["result"]) == expected


def test_rows_are_read_even_if_the_last_one_is_half_written(tmp_path):
    file = tmp_path / "rows"
    assert gpu_programs.read(file) == []
    file.write_text('{"what": "a", "n": 1}\n{"what": "a", "n": 2}\n{"what": "b')
    assert gpu_programs.read(file) == [{"what": "a", "n": 2}]


def test_an_unknown_part_is_refused(tmp_path):
    flags.FLAGS(["bench", f"--folder={tmp_path}", "--parts=mnist,chess"])
    with pytest.raises(UserError, match="unknown part 'chess'; choose from cifar10"):
        gpu.main()


def test_a_row_about_seeds():
    runs = [
        progress.Progress(2.0, 5.0, points=[(3.0, 0.5), (4.0, 0.95)]),
        progress.Progress(1.0, 6.0, points=[(6.0, 0.93)]),
    ]
    row = gpu_parts._to_goal("run", runs, 0.94, "%")
    assert row["seconds"] == [4.0, None] and row["train_seconds"] == [5.0, 6.0]
    text = "seconds 4.00 (4.00 ... 4.00) 1/2, 2 seeds; final 94.00 (93.00 ... 95.00) %"
    assert row["result"] == text


def test_rows_of_every_part(monkeypatch):
    """What the parts make of measurements that are made up here."""

    def train(config, every, score, goal):
        assert config.num_steps % every == every % config.log_steps == 0
        numbers = collections.defaultdict(lambda: 0.5, {"eval/starts": 2})
        assert score(numbers) < goal
        return progress.Progress(1.0, 2.0, 10, [(2.0, score(numbers))])

    compared = {"dlx": [1.0, 2.0, 3.0], "PyTorch, eager": [4.0]}
    played = {"playing": (100, [2.0]), "training": (100, [4.0])}
    monkeypatch.setattr(progress, "train", train)
    monkeypatch.setattr(bandwidth, "measured", lambda: (1e9, 2**20))
    monkeypatch.setattr(envs, "random_play", lambda n: ({"rocks": [0.5]}, 10**6))
    monkeypatch.setattr(envs, "agent", lambda config, n: played)
    monkeypatch.setattr(classifiers, "batches_rates", lambda name: {"streamed": 7.0})
    for module in (classifiers, style, vae, gan):
        monkeypatch.setattr(module, "compare", lambda *_: compared)
    flags.FLAGS(["bench", "--seeds=2"])
    parts = gpu.PARTS | gpu._HIDDEN
    rows = {
        name: {row["what"]: row for row in parts[name].rows(tiny=False)}
        for name in parts
        if parts[name].is_on_device
    }
    (cifar10,) = rows["cifar10"].values()
    assert cifar10["final"] == [0.5] * 2, "of two seeds, in percent"
    assert cifar10["seconds"] == [None] * 2
    steps = 10 * 128 * 32
    minatar = rows["minatar"]["pqn_minatar, Breakout"]
    assert minatar["steps_per_second"] == steps / 2.0
    play = rows["environments"]["random play, 4096 environments"]
    assert play["steps_per_second"] == 2e6
    assert play["share_of_bandwidth"] == 2e6 * 16 * 16 * 4 / 1e9
    training = rows["environments"]["pg_rocks16 training, 65536 environments"]
    assert training["steps_per_second"] == 25
    step = rows["pytorch"]["DCGAN, a step"]
    assert step["result"].endswith("dlx / fastest peer 0.50")
    assert step["seconds_per_step"]["dlx"] == [0.1, 0.2, 0.3]
    assert len(rows["agents"]) == len(gpu_parts._AGENTS)
    for row in itertools.chain(*(part.values() for part in rows.values())):
        assert json.loads(json.dumps(row)) and row["result"]


@pytest.mark.slow
def test_every_part_runs_on_a_cpu(tmp_path):
    """A typo would cost minutes on a GPU that is lent."""
    program = subprocess.run(
        [
            *(sys.executable, "-m", "launch.bench", "gpu", "--tiny", "--minutes=120"),
            *(f"--folder={tmp_path}", "--seeds=1", "--repeats=1", "--torch=eager"),
        ],
        env=os.environ | {"JAX_DEBUG_KEY_REUSE": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert program.returncode == 0, program.stdout + program.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    for name in gpu.PARTS:
        part = results[name]
        if name == "minatar" and part["status"] == "skipped":
            assert "needs gymnax" in part["error"]
            continue
        assert part["status"] == "done" and part["rows"], (name, part["error"])
    whats = [row["what"] for part in results.values() for row in part["rows"]]
    assert len(whats) == len(set(whats)), "no two rows are about the same"
