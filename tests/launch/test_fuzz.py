"""Senseless values for every field of every config give a line or a program."""

import json
import random

import pytest

from launch import shipped
from launch.faults import damage, fuzz
from launch.faults.campaign import BrokenError


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted(shipped.CONFIGS.glob("*.py")), ids=lambda p: p.stem
)
def test_no_value_gives_a_traceback(path):
    tried, broken = fuzz.run(path)
    assert tried > 100 and not broken, "\n".join(broken)


def test_an_attempt_is_refused_accepted_or_broken(monkeypatch):
    config = fuzz.read(shipped.CONFIGS / "pg_rocks8.py")
    assert {"env.size", "learning_rate", "seed", "network"} <= set(fuzz.fields(config))
    assert fuzz.attempt(config, "discount", -1) == "refused"
    assert fuzz.attempt(config, "discount", "x") == "refused"
    assert fuzz.attempt(config, "num_envs", 2**70) == "refused"
    assert fuzz.attempt(config, "discount", 0) == "accepted"
    assert config.discount == 0.9  # it is a copy that is changed
    monkeypatch.setattr(fuzz, "_trace", lambda config: 1 / 0)
    with pytest.raises(BrokenError, match="ZeroDivisionError"):
        fuzz.attempt(config, "discount", 0)


def test_sounds_need_no_data_set():
    config = fuzz.read(shipped.CONFIGS / "wavegan_digits.py")
    config.g_channels, config.d_channels = (4, 4, 4, 4), ((4, 4, 4, 4),)
    assert fuzz.attempt(config, "seed", 0) == "accepted"
    assert fuzz.attempt(config, "length", -1) == "refused"
    assert fuzz.attempt(config, "length", 10**9) == "refused"
    assert fuzz.attempt(config, "data_dir", "x") == "accepted"  # tones need none
    assert fuzz.attempt(config, "dataset", "") == "refused"


def test_damage_changes_one_file_of_a_run(tmp_path):
    ways = set()
    for seed in range(80):
        run = tmp_path / str(seed)
        (run / "figures").mkdir(parents=True)
        (run / "config.json").write_text(
            json.dumps({"task": "dqn", "env": {"size": 8}})
        )
        (run / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
        (run / "figures" / "x.png").write_bytes(b"a picture")
        before = {p: p.read_bytes() for p in run.rglob("*.*")}
        how = damage.damage(run, random.Random(seed))
        ways.add(how.split(": ")[1].split()[0])
        changed = [p for p in before if not _is(p, before[p])]
        assert len(changed) <= 1, how
    assert len(ways) >= 8


def _is(path, content):
    return path.is_file() and not path.is_symlink() and path.read_bytes() == content
