"""Tables of results, from runs and a sweep that are trained here, and from records."""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys

import ml_collections
import pytest

from dlx.runtime import provenance
from launch.results import markdown, tables
from launch.sweep import comparison, plan

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a sweep of two experiments, and two seeds of another run.

    One run of each experiment is trained; other seeds are copies with other numbers.
    """
    root = tmp_path_factory.mktemp("runs")
    short = {"num_steps": 4, "log_steps": 2, "eval_steps": 2, "checkpoint_steps": 4}
    sweep = ml_collections.ConfigDict()
    sweep.configs = (
        (
            "configs/pg_rocks8.py",
            short | {"num_envs": 32, "eval_rocks": 10, "env": {"rocks_per_episode": 3}},
        ),
        ("configs/mlp_mnist.py", short | {"dataset": "digits", "warmup_steps": 0}),
    )
    sweep.seeds = (0, 1, 2)
    sweep.target = "starts"
    folder = root / "small" / "1"
    runs = plan.make(sweep, folder)
    folder.mkdir(parents=True)
    plan.record(sweep, runs, "small", folder)
    for first in (runs[0], runs[3]):
        assert plan.train(first) is None
    for other in (1, 2):  # the last planned run is not there
        _copy(runs[0].workdir, runs[other].workdir, other, perfect_starts=62.0 + other)
    _copy(runs[3].workdir, runs[4].workdir, 1, accuracy=50.0)
    comparison.write(sweep, runs[:-1], folder)
    for seed in (0, 1):
        _copy(runs[0].workdir, root / "pg_rocks8" / str(seed), seed, config="pg_rocks8")
    return root


def _copy(source, target, seed, config=None, **metrics):
    """Copies a run, with another seed and other numbers of its last evaluation."""
    shutil.copytree(source, target)
    for name, change in (
        ("config.json", {"seed": seed}),
        ("summary.json", {"seed": seed, "train_seconds": 0.5 + seed}),
    ):
        content = json.loads((target / name).read_text()) | change
        if name == "summary.json":
            content["metrics"] |= metrics
            content["config"] = config or content["config"]
        (target / name).write_text(json.dumps(content))
    lines = (target / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1]) | {f"eval/{name}": n for name, n in metrics.items()}
    lines[-1] = json.dumps(last)
    (target / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def _summaries(root, pattern):
    return [json.loads(p.read_text()) for p in root.glob(f"{pattern}/summary.json")]


def test_rows_say_what_the_runs_say(root):
    results = tables.collect(root)
    small, single = sorted(results["tables"], key=lambda t: t["title"], reverse=True)
    assert (small["title"], single["title"]) == ("small", tables.SINGLE)
    rocks, digits = small["rows"]
    assert (
        rocks["cell"]["config"] == "pg_rocks8" and rocks["metric"] == "perfect_starts"
    )
    assert (rocks["seeds"], rocks["planned"]) == ([0, 1, 2], 3)
    assert (digits["seeds"], digits["planned"]) == ([0, 1], 3)
    assert digits["metric"] == "accuracy" and digits["target"] is None
    for row, pattern in ((rocks, "small/1/pg*/*"), (digits, "small/1/mlp*/*")):
        done = _summaries(root, pattern)
        values = [summary["metrics"][row["metric"]] for summary in done]
        assert row["measures"][row["metric"]] == {
            "median": statistics.median(values),
            "low": min(values),
            "high": max(values),
            "n": len(done),
        }
        seconds = statistics.median(summary["train_seconds"] for summary in done)
        assert row["train_seconds"]["median"] == seconds
    assert rocks["target"]["reached"] == sum(
        any(line["eval/perfect_starts"] >= line["eval/starts"] for line in lines)
        for lines in _evaluations(root, "small/1/pg*/*")
    )
    (row,) = single["rows"]
    assert row["seeds"] == [0, 1] and row["target"] is None
    settings = row["cell"]["setting"].split(", ")
    assert "num_envs=32" in settings and not any("seed" in text for text in settings)
    for table in (small, single):
        origin = table["origin"]
        assert origin["machine"] == provenance.machine() and origin["cores"] >= 1
        assert origin["commit"] == provenance.commit()
        assert origin["versions"]["jax"] and table["dates"][0]
    assert single["rows"][0]["commands"][0].startswith("python ")


def _evaluations(root, pattern):
    """The evaluations of each run."""
    for path in root.glob(f"{pattern}/metrics.jsonl"):
        lines = map(json.loads, path.read_text().splitlines())
        yield [line for line in lines if "eval/starts" in line]


def test_the_sweeps_own_table_has_each_configs_metric(root):
    table = (root / "small" / "1" / "table.md").read_text()
    head, _, rocks, digits = table.splitlines()
    assert "| final perfect_starts | final accuracy |" in head
    assert "| - | - | - |" in digits and "| - (0" not in digits
    assert rocks.startswith("| pg_rocks8 | ")


def test_one_table_never_mixes_machines_or_commits(root):
    (path, *_) = sorted((root / "small" / "1").glob("pg*/seed0/summary.json"))
    text = path.read_text()
    summary = json.loads(text)
    try:
        for name, other in (("machine", "Another"), ("commit", "0" * 40)):
            own = summary["provenance"] | {name: other}
            path.write_text(json.dumps(summary | {"provenance": own}))
            found = [t for t in tables.collect(root)["tables"] if t["title"] == "small"]
            assert len(found) == 2
            (one,) = [t for t in found if t["origin"][name] == other]
            (row,) = one["rows"]
            assert (row["seeds"], row["planned"]) == ([0], 3)
            (rest,) = [t for t in found if t is not one]
            assert rest["rows"][0]["seeds"] == [1, 2]
            if name == "commit":
                assert "**Of unknown code.**" in markdown.origin(one)
    finally:
        path.write_text(text)


def test_a_run_of_code_that_recorded_no_provenance_is_apart(root):
    (path, *_) = sorted((root / "pg_rocks8" / "0").glob("summary.json"))
    text = path.read_text()
    summary = json.loads(text)
    del summary["provenance"]
    path.write_text(json.dumps(summary))
    try:
        found = [
            table
            for table in tables.collect(root)["tables"]
            if table["title"] == tables.SINGLE
        ]
        assert sorted(bool(table["origin"]["commit"]) for table in found) == [0, 1]
        page = markdown.page({"tables": found})
        assert "commit not recorded" in page and "machine not recorded" in page
    finally:
        path.write_text(text)


def test_marks_of_older_code():
    origin = dict.fromkeys(("machine", "cores", "devices", "processes", "dlx"))
    origin |= {"versions": {}, "commit": "1234567890abcdef"}
    table = {"origin": origin, "dates": ["2026-11-30"] * 2, "commits_since": 0}
    assert markdown.origin(table).endswith("commit 1234567890, 2026-11-30.")
    older = markdown.origin(table | {"commits_since": 2})
    assert older.endswith(" **Of older code: 2 commits changed it since.**")
    table["origin"] = origin | {"commit": None, "dlx": "0.1.0"}
    installed = markdown.origin(table | {"commits_since": None})
    assert installed == "machine not recorded, dlx 0.1.0, 2026-11-30."
    table["origin"] = origin | {"commit": "1234567890abcdef+changes"}
    changed = markdown.origin(table | {"commits_since": None})
    assert "commit 1234567890+changes" in changed and "in no commit" in changed


def test_the_program_writes_page_numbers_and_block(root, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "launch.results", f"--root={root}"),
            f"--out={tmp_path}/docs/results.md",
            f"--json={tmp_path}/docs/results.json",
            f"--readme={readme}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "docs" / "results.json").read_text())
    assert results == json.loads(json.dumps(tables.collect(root)))
    assert (tmp_path / "docs" / "results.md").read_text() == markdown.page(results)
    text = readme.read_text()
    assert text == f"before\n{markdown.block(results)}\nafter\n"
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1].split(":")[0] for row in rows] == [
        "pg_rocks8",
        "mlp_mnist",
    ]
    assert [row.split(" | ")[2] for row in rows] == ["3", "2 of 3"]
    again = markdown.with_block(text, results)
    assert again == text


def test_a_folder_without_runs_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "launch.results", f"--root={tmp_path}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == f"results: there is no finished run below {tmp_path}\n"


def test_readme_has_the_numbers_of_the_results():
    path = ROOT / "docs" / "results.json"
    readme = (ROOT / "README.md").read_text()
    if not path.exists() or not markdown.has_block(readme):
        pytest.skip("README has no block of results yet")
    results = json.loads(path.read_text())
    assert markdown.block(results) in readme, "run python -m launch.results"
    assert markdown.page(results) == (ROOT / "docs" / "results.md").read_text()
