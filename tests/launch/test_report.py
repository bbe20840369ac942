"""A run as one HTML file."""

import html.parser
import json
import shutil
import subprocess
import sys

import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import loop, rundir
from launch.report import __main__ as report
from launch.report import numbers, runs


@pytest.fixture
def run(config, tmp_path):
    folder = tmp_path / "run"
    loop.train(tasks.make(config), config, folder, name="pg_rocks8")
    return folder


class _Parts(html.parser.HTMLParser):
    """The resources of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.fetched, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href", "srcset")]

    def handle_data(self, data):
        self.text += data


def test_it_stands_alone(run, tmp_path):
    out = tmp_path / "report.html"
    subprocess.run(
        [
            *(sys.executable, "-m", "launch.report"),
            *(f"--workdir={run}", f"--out={out}"),
        ],
        check=True,
    )
    page = _Parts(out.read_text())
    assert page.fetched and all(uri.startswith("data:") for uri in page.fetched)
    assert "script" not in page.tags and "link" not in page.tags
    assert page.tags.count("img") == 3  # curves of all, and both figures
    summary = json.loads((run / "summary.json").read_text())
    for text in "pg_rocks8", summary["params_sha256"], "perfect_starts", '"num_envs"':
        assert text in page.text


def test_what_is_written_in_a_run_is_no_html(run):
    summary = json.loads((run / "summary.json").read_text())
    summary["config"] = "<script>alert(1)</script>"
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "figures" / "text.txt").write_text("<img src=http://x.example>")
    page = _Parts(report.page(runs.read(run.parent, run)))
    assert "script" not in page.tags
    assert all(uri.startswith("data:") for uri in page.fetched)


def test_a_figure_of_any_size_is_named_and_a_large_one_not_shown(run):
    with (run / "figures" / "film.gif").open("wb") as file:
        file.truncate(13 * 2**20)
    text = report.page(runs.read(run.parent, run))
    assert "film.gif: 13 MiB, too large to show here" in text
    assert len(text) < 2**20


def test_a_run_under_way_and_a_killed_one(run):
    (run / "summary.json").unlink()
    shutil.rmtree(run / "figures")
    killed = runs.read(run.parent, run)
    assert killed.status == "killed" and killed.step == 12
    assert "policy_gradient" in report.page(killed)
    with rundir.lock(run):
        assert runs.read(run.parent, run).status == "running"


def test_a_damaged_run_is_a_line(run):
    (run / "config.json").write_text("{")
    damaged = runs.read(run.parent, run)
    assert damaged.is_damaged and "config.json is damaged" in damaged.status
    done = subprocess.run(
        [sys.executable, "-m", "launch.report", f"--workdir={run}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "config.json is damaged" in done.stderr


def test_where_two_configs_differ(config, run):
    other = run.parent / "other"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("checkpoints"))
    changed = json.loads((run / "config.json").read_text())
    changed["seed"], changed["env"]["size"] = 5, 9
    (other / "config.json").write_text(json.dumps(changed))
    first, second = (runs.read(run.parent, folder) for folder in (run, other))
    assert runs.differences(first, second) == [("env.size", 8, 9), ("seed", 0, 5)]


def test_curves_leave_out_what_is_not_finite(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 99, "train/loss": float("nan")}) + "\n")
        file.write('{"step": 100, "train/l')  # cut short
    found = runs.read(run.parent, run)
    assert found.step == 99 and 99 not in found.curve("train/loss")[0]


def test_no_run_is_a_line(tmp_path):
    with pytest.raises(UserError, match="no run 'x' below"):
        runs.named(tmp_path, "x")


def test_a_number_is_short_and_has_no_exponent():
    shown = {0.024412: "0.02441", 86.4812: "86.48", 1175.2: "1,175", 14516.7: "14,517"}
    assert {number: numbers.short(number) for number in shown} == shown
    assert numbers.short(-84.0149, 3) == "-84" and numbers.short(0) == "0"
    assert numbers.short(3e12) == "3e+12" and numbers.short(float("nan")) == "nan"
