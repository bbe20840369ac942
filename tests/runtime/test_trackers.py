"""What trackers have of a run that was resumed, by their own readers."""

import json
import os
import subprocess
import sys

import pytest

from dlx.errors import UserError
from dlx.runtime import trackers, writers

# Written before a stop: steps 2, 4 and 6, of which 6 lacks its evaluation. The run is
# resumed at 4, and then at 6 with all trackers.
PARTS = """
import pathlib, sys
from dlx.runtime import writers

def part(step, names, written):
    folder = pathlib.Path(sys.argv[1])
    shown, config = ("eval/m",), {"learning_rate": 0.5}
    with writers.Writers(folder, "run", shown, step, 10, config, names) as opened:
        for at, evaluated in written:
            numbers = {"train/loss": 1 / at, "train_seconds": float("nan")}
            opened.write(at, numbers | ({"eval/m": float(at)} if evaluated else {}))

name = sys.argv[2]
part(0, [name], [(2, True), (4, True), (6, False)])
part(4, [name], [(4, True), (6, True), (8, True)])
part(8, ["tensorboard"], [(8, True), (10, True)])
part(10, ["tensorboard", name], [(10, True)])
"""
EXPECTED = [
    *((step, "train/loss", 1 / step) for step in (2, 4, 6, 8, 10)),
    *((step, "eval/m", float(step)) for step in (2, 4, 6, 8, 10)),
]


def _python(program, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()} | environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _points(rows):
    """(step, name, number) of rows of a tracker, without its own columns."""
    return sorted(
        (row["step"], name, row[name])
        for row in rows
        for name in ("train/loss", "eval/m")
        if row.get(name) is not None
    )


def test_trackio_has_every_step_once(tmp_path):
    pytest.importorskip("trackio", reason="trackio is not installed")
    database = {"TRACKIO_DIR": str(tmp_path / "database")}
    _python(PARTS, tmp_path, "trackio", **database)
    reader = """
import json, trackio
(run,) = trackio.Api().runs("dlx")
rows = trackio.SQLiteStorage.get_logs("dlx", run.name)
print(json.dumps([run.name, run.config, rows], default=str))
"""
    name, config, rows = json.loads(_python(reader, **database))
    assert _points(rows) == sorted(EXPECTED)
    assert name == f"run-{(tmp_path / 'tracker_id').read_text()}"
    assert config["learning_rate"] == 0.5


def test_wandb_has_every_step_once_in_its_offline_files(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    _python(PARTS, tmp_path, "wandb", WANDB_MODE="offline", HOME=str(tmp_path))
    files = sorted(map(str, (tmp_path / "wandb").glob("offline-run-*/*.wandb")))
    assert len(files) == 3, "a file for each start"
    reader = """
import json, pathlib, struct, sys
from wandb.proto import wandb_internal_pb2

def records(path):
    # A log in LevelDB's format, after a header of 7 bytes.
    data, at, whole = pathlib.Path(path).read_bytes(), 7, bytes()
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block is filled up
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # complete, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = bytes()

rows, ids = [], set()
for path in sys.argv[1:]:
    for record in records(path):
        if record.run.run_id:
            ids.add(record.run.run_id)
        if record.history.item:
            names = [i.key or "/".join(i.nested_key) for i in record.history.item]
            values = [json.loads(i.value_json) for i in record.history.item]
            row = dict(zip(names, values))
            rows.append(row | {"step": row["_step"]})
print(json.dumps([sorted(ids), rows]))
"""
    ids, rows = json.loads(_python(reader, *files))
    assert _points(rows) == sorted(EXPECTED)
    assert ids == [(tmp_path / "tracker_id").read_text()]


def test_no_tracker_leaves_only_the_lines(tmp_path):
    with writers.Writers(tmp_path, "run", ("eval/m",), 0, 4, {}, []) as opened:
        opened.write(2, {"train/loss": 0.5})
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl"}


def test_an_unknown_or_missing_tracker_is_named(monkeypatch):
    trackers.require(["tensorboard"])
    trackers.require([])
    with pytest.raises(UserError, match="mlflow is unknown; choose from tensorboard,"):
        trackers.require(["tensorboard", "mlflow"])
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"wandb is not installed; pip install"):
        trackers.require(["tensorboard", "wandb"])
