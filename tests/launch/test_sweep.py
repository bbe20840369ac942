"""A small sweep, its table against its runs, and invalid sweeps."""

import csv
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import time

import jax
import ml_collections
import pytest

from dlx.errors import UserError
from dlx.runtime import loop
from launch.sweep import comparison, plan

SWEEP = """
import ml_collections

def get_config():
    config = ml_collections.ConfigDict()
    config.configs = ("configs/pg_rocks8.py",)
    short = dict(num_steps=20, log_steps=5, eval_steps=5, checkpoint_steps=10)
    short |= dict(num_envs=32, eval_rocks=100, env=dict(rocks_per_episode=3))
    narrow = dict(features=(4,), **short)
    config.variants = (("narrow", narrow), ("as it is", short))
    config.grid = ml_collections.ConfigDict({"env": {"paddle_width": (1, 3)}})
    config.seeds = (0, 1)
    config.side_by_side = False
    config.metric = "perfect_starts"
    config.target = 30
    return config
"""


def _run(folder, *args):
    path = folder / "sweep.py"
    path.write_text(SWEEP)
    program = [sys.executable, "-m", "launch.sweep", f"--config={path}"]
    return subprocess.Popen(
        [*program, f"--workdir={folder}/out", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _summaries(folder):
    return {p: p.stat().st_mtime_ns for p in folder.glob("out/*/*/summary.json")}


def test_a_stopped_sweep_resumes(tmp_path):
    first = _run(tmp_path)
    while not _summaries(tmp_path):
        time.sleep(0.05)
        assert first.poll() is None, first.stderr.read()
    first.send_signal(signal.SIGTERM)
    out, _ = first.communicate()
    assert first.returncode == 128 + signal.SIGTERM and "resume with --workdir" in out
    finished = {
        path: when
        for path, when in _summaries(tmp_path).items()
        if json.loads(path.read_text())["status"] == "done"
    }
    second = _run(tmp_path)
    out, err = second.communicate()
    assert second.returncode == 0, err
    after = _summaries(tmp_path)
    assert len(after) == 8 and finished.items() <= after.items(), (
        "finished runs are kept"
    )

    with (tmp_path / "out" / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["variant"], r["env.paddle_width"], r["seed"]) for r in rows] == [
        (variant, width, seed)
        for variant in ("narrow", "as it is")
        for width in "13"
        for seed in "01"
    ]
    for row in rows:
        slug = row["variant"].replace(" ", "_")
        cell = f"pg_rocks8-{slug}-{row['env.paddle_width']}"
        run = tmp_path / "out" / cell / f"seed{row['seed']}"
        config = json.loads((run / "config.json").read_text())
        assert config["features"] == ([4] if row["variant"] == "narrow" else [64])
        assert str(config["env"]["paddle_width"]) == row["env.paddle_width"]
        lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        values = {n["step"]: n["eval/perfect_starts"] for n in lines}
        assert float(row["perfect_starts"]) == values[20]
        assert bool(int(row["held"])) == (values[20] >= 30)
        reached = [step for step, value in values.items() if value >= 30]
        assert row["steps_to_target"] == (str(reached[0]) if reached else "")
    table = (tmp_path / "out" / "table.md").read_text()
    assert table in out and table.count("\n") == 2 + 4
    assert (tmp_path / "out" / "curves.png").exists()

    third = _run(tmp_path, "--noresume")
    _, err = third.communicate()
    assert third.returncode == 2 and "already holds a sweep" in err
    other = _run(tmp_path, "--config.grid.env.paddle_width=(1,)", "--config.target=1")
    assert other.wait() == 0, "another target needs no new run"
    assert _summaries(tmp_path) == after


def _sweep(**fields):
    text = {}
    exec(SWEEP, text)
    config = text["get_config"]()
    config.update(fields)
    return config


def test_the_sweeps_of_an_installed_dlx_find_their_configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plan._read("configs/pg_rocks8.py").task == "policy_gradient"
    with pytest.raises(UserError, match=r"configs/none.py: No such file"):
        plan._read("configs/none.py")


def test_nothing_compiled_outlives_a_run(monkeypatch):
    compiled = jax.jit(lambda x: x + 1)
    monkeypatch.setattr(loop, "train", lambda *_, **__: compiled(1.0))
    (run, *_) = plan.make(_sweep(), pathlib.Path("out"))
    plan.train(run)
    assert compiled._cache_size() == 0


def test_side_by_side_is_one_run():
    runs = plan.make(_sweep(side_by_side=True), pathlib.Path("out"))
    assert len(runs) == 4
    assert runs[0].workdir == pathlib.Path("out/pg_rocks8-narrow-1/seed0-seed1")
    assert runs[0].config.seeds == (0, 1)


def test_a_vectorized_grid_is_one_run_with_a_row_for_each_cell_and_seed(tmp_path):
    with jax.debug_key_reuse(False):  # it takes a scan of keys under vmap for a reuse
        sweep = _sweep(vectorized={"learning_rate": (1e-3, 2e-2)})
        sweep.variants = sweep.variants[:1]
        del sweep.grid
        (run,) = plan.make(sweep, tmp_path)
        assert plan.train(run) is None and plan.is_done(run)
    comparison.write(sweep, [run], tmp_path)
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    found = [(row["variant"], row["learning_rate"], row["seed"]) for row in rows]
    assert found == [
        ("narrow", rate, seed) for rate in ("0.001", "0.02") for seed in "01"
    ]
    lines = (run.workdir / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    for row in rows:
        name = f"learning_rate={row['learning_rate']}/{row['seed']}"
        assert float(row["perfect_starts"]) == last[f"eval/perfect_starts/{name}"]
    table = (tmp_path / "table.md").read_text()
    assert "| pg_rocks8 | narrow | 0.001 | 2 |" in table
    assert "| pg_rocks8 | narrow | 0.02 | 2 |" in table


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vectorized": {"network": (1.0,)}}, "'network' must be a field that holds a"),
        ({"configs": ("configs/none.py",)}, "No such file"),
        ({"grid": {"netwrk": ("mlp",)}}, "no 'netwrk'"),
        (
            {"grid": {"network": ("mpl",)}},
            "config.network must be one of: 'mlp', 'cnn'",
        ),
        ({"grid": {"num_steps": ("many",)}}, "num_steps"),
        ({"seeds": ()}, "needs configs and seeds"),
        ({"seeds": (1, 1)}, "without duplicates"),
    ],
)
def test_an_invalid_run_prevents_the_sweep(fields, words, tmp_path):
    with pytest.raises(UserError, match=words):
        plan.make(_sweep(**fields), tmp_path)


def _curve(values, target=3):
    points = len(values)
    return comparison.Curve(
        (("config", "a"),),
        0,
        list(range(1, points + 1)),
        [10.0 * i for i in range(1, points + 1)],
        {"score": values, "cost": [100 - value for value in values]},
        [target] * points,
        {"train_seconds": 10.0 * points, "params_sha256": "x"},
    )


def test_reached_and_held():
    assert _curve([1, 3, 2, 3]).reached == 1 and _curve([1, 3, 2, 3]).held
    dip = _curve([1, 3, 3, 3, 3, 3, 2, 3])
    assert dip.reached == 1 and not dip.held, "the last quarter is two evaluations"
    assert _curve([1, 2]).reached is None


def test_table():
    config = ml_collections.ConfigDict({"metric": "score", "target": 3})
    cell = (("config", "a"),)
    done = [_curve([1, 3]), _curve([3, 3]), _curve([1, 1])]
    line = comparison.table(config, {cell: done}).splitlines()[-1]
    assert line == (
        "| a | 3 | 3 (1 ... 3) | 2 of 3 | 1.5 (1 ... 2) (2 of 3) "
        "| 15 (10 ... 20) (2 of 3) | 20 |"
    )


def test_what_diverged_is_counted_and_named(tmp_path):
    config = ml_collections.ConfigDict({"metric": "score"})
    cells = {(("config", "a"),): [_curve([1, 3])] * 2, (("config", "b"),): []}
    counts = dict(zip(cells, (1, 2), strict=True))
    *_, first, second = comparison.table(config, cells, counts).splitlines()
    assert first == "| a | 2 of 3 | 3 | 20 |" and second == "| b | 0 of 2 | - | - |"
    run = plan.Run((("config", "b"),), (0, 1), {}, tmp_path / "b")
    comparison.write(config, [], tmp_path, [(run, "loss is nan at step 3")])
    text = (tmp_path / "table.md").read_text()
    assert "| b | 0 of 2 |" in text
    assert text.endswith("- b, seed 0, 1: loss is nan at step 3\n")


def test_the_median_leaves_out_what_is_not_finite():
    nan, inf = float("nan"), float("inf")
    for numbers in ([nan, 1, 2, 3], [3, nan, 2, 1], [1, 2, 3, inf]):
        assert comparison._median(numbers) == "2 (1 ... 3) (3 of 4)"
    assert comparison._median([nan]) == "- (0 of 1)"


def test_a_sweep_with_a_run_that_diverged_ends_with_code_1(tmp_path):
    bad = '("bad", dict(learning_rate=1e38, **short))'
    text = SWEEP.replace('("narrow", narrow)', bad).replace("(1, 3)", "(1,)")
    path = tmp_path / "sweep.py"
    path.write_text(text.replace("(0, 1)", "(0,)"))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "launch.sweep", f"--config={path}"),
            f"--workdir={tmp_path}/out",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "| pg_rocks8 | bad | 1 | 0 of 1 | - |" in done.stdout
    assert "| pg_rocks8 | as it is | 1 | 1 |" in done.stdout, "the other runs finish"
    assert "- pg_rocks8, bad, 1, seed 0: " in done.stdout


def test_measures_beside_the_metric():
    config = ml_collections.ConfigDict({"metric": "score", "also": ("cost",)})
    cells = {(("config", "a"),): [_curve([1, 3]), _curve([2, 5])]}
    head, _, line = comparison.table(config, cells).splitlines()
    assert "| final score | final cost | seconds of" in head
    assert line == "| a | 2 | 4 (3 ... 5) | 96 (95 ... 97) | 20 |"
    row = next(csv.DictReader(comparison.rows(config, cells).splitlines()))
    assert row["score"] == "3" and row["cost"] == "97"
    one = comparison.plot({cell: [_only_score(c)] for cell, (c, _) in cells.items()})
    assert comparison.plot(cells).shape[1] > one.shape[1], "a panel for each"


def _only_score(curve):
    measures = {"score": curve.measures["score"]}
    return dataclasses.replace(curve, measures=measures)


def test_a_measure_may_be_of_the_last_evaluation_alone(tmp_path):
    run = plan.Run((("config", "x"),), (0,), {}, tmp_path)
    lines = [{"step": 1, "train_seconds": 1.0, "eval/fid": 9.0}]
    lines += [{"step": 2, "train_seconds": 2.0, "eval/fid": 8.0, "eval/last_fid": 7.0}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text)
    summary = {"train_seconds": 2.0, "params_sha256": "x"}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    sweep = {"metric": "fid", "also": ("last_fid",)}
    sweep = ml_collections.ConfigDict(sweep)
    comparison.write(sweep, [run], tmp_path)
    assert "| x | 1 | 8 | 7 | 2 |" in (tmp_path / "table.md").read_text()
    with pytest.raises(UserError, match="does not evaluate 'kid'"):
        comparison.curves(run, ml_collections.ConfigDict({"metric": "kid"}))
