"""Numbers on the disk survive what runs go through."""

import json
import math

from dlx.runtime import writers as metrics


def _writers(tmp_path, step):
    return metrics.Writers(tmp_path, "run", ("eval/m",), step, 10)


def test_lines_after_the_step_gone_back_to_are_taken_back(tmp_path, capfd):
    with _writers(tmp_path, 0) as writers:
        for step in (2, 4, 6):
            writers.write(step, {"train/loss": 1 / step, "eval/m": float(step)})
    with _writers(tmp_path, 4) as writers:
        writers.write(4, {"train/loss": 0.25, "eval/m": 4.0})
        writers.write(6, {"train/loss": 0.5})
    lines = metrics.read_lines(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[-1] == {"step": 6, "train/loss": 0.5}
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 2
    plain = capfd.readouterr().out.splitlines()
    assert len(plain) == 4 and "4/10" in plain[1] and "m=4" in plain[1]


def test_a_line_cut_short_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "tr')
    assert metrics.read_lines(path) == [{"step": 1}]
    assert metrics.read_lines(tmp_path / "none") == []


def _strict(text):
    def refuse(token):
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_not_finite_are_null_to_any_reader(tmp_path):
    with _writers(tmp_path, 0) as writers:
        writers.write(2, {"eval/m": math.nan, "train/loss": math.inf, "eval/n": 0.5})
    path = tmp_path / "metrics.jsonl"
    line = _strict(path.read_text())
    assert line == {"step": 2, "eval/m": None, "train/loss": None, "eval/n": 0.5}
    (read,) = metrics.read_lines(path)
    assert math.isnan(read["eval/m"]) and read["eval/n"] == 0.5
    nested = {"a": [1.0, {"b": (-math.inf, 2)}], "c": "NaN"}
    assert _strict(metrics.to_json(nested)) == {
        "a": [1.0, {"b": [None, 2]}],
        "c": "NaN",
    }


DAMAGE = (
    *("\0" * 40, "[1]", "7", '{"train/loss": 1}', '{"step": "2"}', '{"step": 1.5}'),
    *('{"step": -1}', '{"step": 3', '{"step": true}', "\udcff", "[" * 100_000),
)


def test_damaged_lines_are_skipped_and_counted(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    lines = ['{"step": 1, "train/loss": 2.0}', *DAMAGE, '{"step": 4, "note": ["x"]}']
    text = "\n".join(lines) + "\n"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert metrics.read_lines(path) == [{"step": 1, "train/loss": 2.0}, {"step": 4}]
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"skipped {len(DAMAGE)} damaged lines of {len(lines)}" in said
    assert metrics.read_lines(tmp_path) == [], "a folder"
    with _writers(tmp_path, 4) as writers:
        writers.write(4, {"train/loss": 1.0})
    assert [line["step"] for line in metrics.read_lines(path)] == [1, 4]


def test_event_files_can_be_read(tmp_path):
    with _writers(tmp_path, 0) as writers:
        writers.write(3, {"train/loss": 0.25})
    (events,) = (tmp_path / "tensorboard").glob("events*")
    assert b"train/loss" in events.read_bytes()
