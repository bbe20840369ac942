"""Numbers on the disk survive what runs go through."""

import json

from dlx import metrics


def _writers(tmp_path, step):
    return metrics.Writers(tmp_path, "run", ("eval/m",), step, 10)


def test_lines_after_the_step_gone_back_to_are_taken_back(tmp_path, capfd):
    with _writers(tmp_path, 0) as writers:
        for step in (2, 4, 6):
            writers.write(step, {"train/loss": 1 / step, "eval/m": float(step)})
    with _writers(tmp_path, 4) as writers:
        writers.write(6, {"train/loss": 0.5})
    lines = metrics.read_lines(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[-1] == {"step": 6, "train/loss": 0.5}
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 2
    plain = capfd.readouterr().out.splitlines()
    assert len(plain) == 3 and "4/10" in plain[1] and "m=4" in plain[1]


def test_a_line_cut_short_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "tr')
    assert metrics.read_lines(path) == [{"step": 1}]
    assert metrics.read_lines(tmp_path / "none") == []


def test_event_files_can_be_read(tmp_path):
    with _writers(tmp_path, 0) as writers:
        writers.write(3, {"train/loss": 0.25})
    (events,) = (tmp_path / "tensorboard").glob("events*")
    assert b"train/loss" in events.read_bytes()
