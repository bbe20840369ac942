"""The clock, and a bench whose peer is missing."""

import sys

from absl import flags
import jax.numpy as jnp
import pytest

from dlx.errors import UserError
from launch.bench import envs, goals, timing


def _parse():
    flags.FLAGS(["bench", "--repeats=2", "--num_envs=1,3"])


def test_in_turns():
    _parse()
    called = []
    calls = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = timing.in_turns(calls)
    assert called == ["a", "b", "a", "b", "a", "b"], "once to warm up, then in turns"
    assert all(len(s) == 2 and s == sorted(s) for s in seconds.values())


def test_rate():
    assert timing.rate(12, [2.0, 3.0, 4.0]) == "4.00e+00 (3.0e+00 ... 6.0e+00)"


def test_carried():
    call = timing.carried(lambda x, y: (x + y, None), jnp.float32(1), 2)
    assert [float(call()) for _ in range(3)] == [3, 5, 7]


def test_a_missing_peer_is_a_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    assert envs._catch() is None
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "pip install '.[bench]'" in out


def test_an_unknown_goal_is_refused():
    flags.FLAGS(["bench", "--goals=mnist,chess"])
    with pytest.raises(
        UserError, match="unknown goal 'chess'; choose from pg_rocks8:mlp"
    ):
        goals.main()
