"""Whole runs of the loop, in this process; tests/launch has those that are killed."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import jax
import numpy as np
from PIL import Image
import pytest

from dlx import tasks
from dlx.errors import DivergedError, UserError
from dlx.runtime import loop, profiling, restore, signals, writers


def _train(config, workdir, **options):
    return loop.train(tasks.make(config), config, workdir, name="test", **options)


def _timeless(line):
    return {name: n for name, n in line.items() if name != "train_seconds"}


def test_what_a_run_leaves_behind(config, tmp_path, capfd):
    summary = _train(config, tmp_path / "new" / "run")
    workdir = tmp_path / "new" / "run"
    assert json.loads((workdir / "summary.json").read_text()) == summary
    expected = {
        "task": "policy_gradient",
        "config": "test",
        "status": "done",
        "step": 12,
        "seed": 0,
        "env_steps": 12 * 32 * 7,
        "devices": 2,
    }
    assert expected.items() <= summary.items()
    assert len(summary["params_sha256"]) == 64
    assert 0 < summary["train_seconds"] < summary["wall_seconds"]
    assert set(summary["seconds"]) == {*profiling.ACTIVITIES, "other"}
    spent, wall = summary["seconds"].values(), summary["wall_seconds"]
    assert min(spent) >= 0 and abs(sum(spent) - wall) < 0.01
    assert abs(summary["goodput"] - summary["seconds"]["step"] / wall) < 0.001
    assert summary["metrics"]["starts"] == 64
    stored = json.loads((workdir / "config.json").read_text())
    assert stored == json.loads(config.to_json())
    lines = writers.read_lines(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert all(np.isfinite(line["train/loss"]) for line in lines)
    assert ["eval/catch_rate" in line for line in lines] == [False, True] * 3
    kept = {int(f.name) for f in (workdir / "checkpoints").iterdir()}
    assert {8, 12} <= kept
    for name in ("learning_curve.png", "play.gif"):
        Image.open(workdir / "figures" / name).verify()
    assert len(capfd.readouterr().out.splitlines()) == 3, "a line per evaluation"


@pytest.fixture
def slow_traces(monkeypatch):
    """Traces whose writing takes a thousand seconds on the run's clock."""
    clock, trace, written = types.SimpleNamespace(**vars(time)), jax.profiler.trace, []
    clock.monotonic = lambda: time.monotonic() + 1000 * len(written)
    monkeypatch.setattr(profiling, "time", clock)

    @contextlib.contextmanager
    def slow(*arguments, **options):
        with trace(*arguments, **options):
            yield
        written.append(True)

    monkeypatch.setattr(jax.profiler, "trace", slow)


def test_where_time_and_memory_went(config, slow_traces, tmp_path):
    summary = _train(config, tmp_path, profile=True)
    assert summary["train_seconds"] < 1000 < summary["seconds"]["other"]
    report = (tmp_path / "profile" / "report.txt").read_text()
    lines = dict(line.split(maxsplit=1) for line in report.splitlines()[1:] if line)
    spent = ("compile", "step", "input", "evaluate", "figures", "checkpoint")
    known = sum(float(lines[name].split()[0]) for name in spent)
    assert 0 < known <= float(lines["total"]) + 0.1
    assert float(lines["model"].split()[0]) > 0 and "MiB peak" in lines["memory"]
    traces = list((tmp_path / "profile").rglob("perfetto_trace.json.gz"))
    assert len(traces) == 1


def test_a_run_that_was_stopped_ends_as_one_that_was_not(config, terminating, tmp_path):
    whole = _train(config, tmp_path / "whole")
    parts, task = tmp_path / "parts", terminating(tasks.make(config))
    stopped = loop.train(task, config, parts, name="test")
    assert stopped["status"] == "preempted" and stopped["step"] == 4
    resumed = _train(config, parts)
    assert resumed["status"] == "done"
    for same in ("params_sha256", "metrics", "step", "env_steps"):
        assert resumed[same] == whole[same]
    ours, theirs = (
        writers.read_lines(tmp_path / run / "metrics.jsonl")
        for run in ("parts", "whole")
    )
    assert [_timeless(line) for line in ours] == [_timeless(line) for line in theirs]
    assert resumed["train_seconds"] > stopped["train_seconds"], "it adds up"
    step = resumed["seconds"]["step"]  # of this start alone
    added = resumed["train_seconds"] - stopped["train_seconds"]
    assert 0 < step <= added + 0.01


@pytest.fixture
def hangup():
    """SIGHUP as a terminal's programs have it, even if pytest runs under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_an_evaluation_ends_at_a_signal_and_is_made_later(config, hangup, tmp_path):
    whole = _train(config, tmp_path / "whole")
    parts, task = tmp_path / "parts", tasks.make(config)

    def slow(state, key):
        if state.step == 12:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(60)
        return task.evaluate(state, key)

    began = time.monotonic()
    cut = dataclasses.replace(task, evaluate=slow)
    stopped = loop.train(cut, config, parts, name="test")
    assert time.monotonic() - began < 30
    assert (stopped["status"], stopped["signal"]) == ("preempted", signal.SIGHUP)
    assert stopped["step"] == 12, "it was saved before"
    assert not (parts / "figures" / "learning_curve.png").exists()
    resumed = _train(config, parts)
    for same in ("status", "params_sha256", "metrics", "step"):
        assert resumed[same] == whole[same]
    ours, theirs = (
        writers.read_lines(workdir / "metrics.jsonl")
        for workdir in (parts, tmp_path / "whole")
    )
    assert [_timeless(line) for line in ours] == [_timeless(line) for line in theirs]


def test_a_second_signal_ends_at_once_and_says_what_is_saved(tmp_path):
    """Even inside a call of JAX, in which Python handles no signal."""
    program = (
        "import jax, time; from dlx.runtime import signals\n"
        "f = jax.jit(lambda x: jax.lax.while_loop(lambda x: x > 0, lambda x: 2 - x, x))"
        "\n"
        "with signals.caught(lambda: 'the newest is of step 7'):\n"
        "    print('now', flush=True); f(1).block_until_ready()"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run.stdout.readline()
    time.sleep(1)
    run.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=10)
    assert run.returncode == 128 + signal.SIGINT
    assert said == "ended at once by a second signal; the newest is of step 7\n"


def test_a_signal_is_for_all_who_wait_for_one():
    before = signal.getsignal(signal.SIGTERM)
    with signals.caught() as outer:
        with signals.caught() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert (outer, inner) == ([signal.SIGTERM, signal.SIGINT], [signal.SIGTERM])
    assert signal.getsignal(signal.SIGTERM) == before


def test_after_nohup_a_lost_terminal_ends_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.caught() as caught:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
        assert caught == []
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with signals.caught() as caught:
            os.kill(os.getpid(), signal.SIGHUP)
        assert caught == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_is_done_stays_done(config, tmp_path):
    first = _train(config, tmp_path)
    again = _train(config, tmp_path)
    for same in ("params_sha256", "metrics", "step", "train_seconds", "status"):
        assert again[same] == first[same]


def test_a_run_killed_as_it_began_begins_again(config, tmp_path):
    (tmp_path / "checkpoints").mkdir()  # is made before config.json is
    assert _train(config, tmp_path)["status"] == "done"


@pytest.mark.parametrize(("eval_steps", "evaluated"), [(8, [8, 12]), (100, [12])])
def test_the_last_evaluation_is_logged(config, tmp_path, eval_steps, evaluated):
    config.eval_steps = eval_steps
    summary = _train(config, tmp_path)
    lines = writers.read_lines(tmp_path / "metrics.jsonl")
    name = "eval/perfect_starts"
    assert [line["step"] for line in lines if name in line] == evaluated
    assert lines[-1][name] == summary["metrics"]["perfect_starts"]
    events = (tmp_path / "tensorboard").glob("events*")
    assert any(name.encode() in file.read_bytes() for file in events)


def test_calls_of_another_length_that_do_not_fit_are_refused(config, tmp_path):
    _train(config, tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    config.log_steps = 5
    config.num_steps = config.eval_steps = config.checkpoint_steps = 20
    with pytest.raises(UserError, match=r"of step 12, .* config\.log_steps=5"):
        _train(config, tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before
    config.log_steps = 4
    summary = _train(config, tmp_path)
    assert (summary["status"], summary["step"]) == ("done", 20)


def test_changed_fields_are_named_with_both_values(config, tmp_path, caplog):
    _train(config, tmp_path)
    config.num_steps, config.num_envs, config.env.max_steps = 16, 64, 99
    _train(config, tmp_path)
    (said,) = [r.getMessage() for r in caplog.records if "resuming" in r.getMessage()]
    for change in (
        "num_envs 32 -> 64",
        "num_steps 12 -> 16",
        "env.max_steps None -> 99",
    ):
        assert change in said


def test_an_evaluation_that_is_not_finite_is_said_and_null(config, tmp_path, caplog):
    task = tasks.make(config)

    def evaluate(state, key):
        bad = {"perfect_starts": np.nan} if state.step == 8 else {}
        return task.evaluate(state, key) | bad

    loop.train(
        dataclasses.replace(task, evaluate=evaluate), config, tmp_path, name="test"
    )
    said = [record.getMessage() for record in caplog.records]
    assert said == ["step 8: eval/perfect_starts is nan"]
    for file in tmp_path.rglob("*.json*"):
        assert not {"NaN", "Infinity"} & set(re.findall(r"\w+", file.read_text())), file
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[3])["eval/perfect_starts"] is None
    best = restore.load(tmp_path, tasks.make, best=True)
    assert best.step in (4, 12)


def test_a_damaged_log_does_not_prevent_a_resume(config, tmp_path):
    _train(config, tmp_path)
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().split("\n")
    lines[1] = "\0" * 40
    path.write_text("\n".join(lines))
    config.num_steps = 16
    assert _train(config, tmp_path)["status"] == "done"
    steps = [line["step"] for line in writers.read_lines(path)]
    assert steps == [2, 6, 8, 10, 12, 14, 16]


def test_seeds(config, tmp_path):
    first = _train(config, tmp_path / "a")["params_sha256"]
    assert _train(config, tmp_path / "b")["params_sha256"] == first
    config.seed = 1
    assert _train(config, tmp_path / "c")["params_sha256"] != first


def test_numbers_that_are_not_finite_end_the_run(config, tmp_path):
    good = _train(config, tmp_path)
    config.num_steps, config.learning_rate = 24, 1e38
    with pytest.raises(DivergedError, match=r"at step 1[34]; the last good"):
        _train(config, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "failed" and summary["params_sha256"] is None
    config.learning_rate = 1e-3
    assert _train(config, tmp_path)["status"] == "done"
    assert good["status"] == "done"
    lines = writers.read_lines(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(2, 25, 2))


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("seed", 1, "holds a run with seed=0, not 1"),
        ("features", (8,), "holds another network or game"),
        ("network", "cnn", "holds another network or game"),
    ],
)
def test_another_runs_workdir_is_left_alone(config, tmp_path, field, value, why):
    _train(config, tmp_path)
    before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    config[field] = value
    with pytest.raises(UserError, match=why):
        _train(config, tmp_path)
    assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before


def test_another_tasks_workdir_is_left_alone(config, tmp_path):
    (tmp_path / "config.json").write_text('{"task": "vae", "seed": 0}')
    with pytest.raises(UserError, match="task=vae, not policy_gradient"):
        _train(config, tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["config.json"]


def test_a_run_that_cannot_even_start_leaves_the_last_summary(config, tmp_path):
    _train(config, tmp_path)
    before = (tmp_path / "summary.json").read_bytes()
    task = tasks.make(config)

    def broken(key):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        loop.train(
            dataclasses.replace(task, init=broken), config, tmp_path, name="test"
        )
    assert (tmp_path / "summary.json").read_bytes() == before


@pytest.mark.parametrize("text", ['{"task": "pol', None])
def test_a_config_that_is_damaged_or_gone(config, tmp_path, text):
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    if text:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json is (damaged|missing)"):
        _train(config, tmp_path)


def test_a_run_that_must_not_go_on(config, tmp_path):
    _train(config, tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        _train(config, tmp_path, resume=False)


def test_where_nothing_can_be_written(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write in"):
        _train(config, tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("eval_steps", 3, "not a multiple of config.log_steps=2"),
        ("num_steps", 0, "config.num_steps must be an integer in 1"),
        ("keep_checkpoints", 0, "config.keep_checkpoints must be an integer in 1"),
        ("seed", -1, "config.seed must be an integer in 0"),
    ],
)
def test_schedules_that_are_none(config, tmp_path, field, value, why):
    task = tasks.make(config)
    config[field] = value
    with pytest.raises(UserError, match=why):
        loop.train(task, config, tmp_path / "run", name="test")
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_resume_on_other_data(tmp_path):
    from configs import textgan

    config = textgan.get_config()
    config.corpus = str(tmp_path / "mine.txt")
    (tmp_path / "mine.txt").write_text("the quick brown fox jumps over. " * 99)
    config.length, config.g_channels, config.d_channels = 16, (4, 4), ((4, 4),)
    config.batch_size, config.latents, config.log_steps = 16, 4, 1
    config.eval_samples = config.last_eval_samples = 40
    config.num_steps = config.eval_steps = config.checkpoint_steps = 1
    first = loop.train(tasks.make(config), config, tmp_path / "run", name="text")
    assert len(first["data_sha256"]) == 64
    (tmp_path / "mine.txt").write_text("the quick brown fox leaps over. " * 99)
    config.num_steps = 2
    with pytest.raises(UserError, match="has trained on other data"):
        loop.train(tasks.make(config), config, tmp_path / "run", name="text")
    (tmp_path / "mine.txt").write_text("the quick brown fox jumps over. " * 99)
    again = loop.train(tasks.make(config), config, tmp_path / "run", name="text")
    assert again["step"] == 2 and again["data_sha256"] == first["data_sha256"]
