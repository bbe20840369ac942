"""The clock, and a bench whose peer is missing."""

import sys
import types

from absl import flags
import jax
import jax.numpy as jnp
import pytest

from dlx.errors import UserError
from launch.bench import bandwidth, envs, goals, pytorch, timing


def _parse():
    flags.FLAGS(["bench", "--repeats=2", "--num_envs=1,3"])


def test_in_turns():
    _parse()
    called = []
    calls = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = timing.in_turns(calls)
    assert called == ["a", "b", "a", "b", "a", "b"], "once to warm up, then in turns"
    assert all(len(s) == 2 and s == sorted(s) for s in seconds.values())


def test_a_ratio_is_dlx_time_over_the_fastest_peers():
    seconds = {"dlx": [1.0, 2.0, 9.0], "slow": [8.0, 8.0, 8.0], "fast": [4.0, 4.0, 4.0]}
    assert timing.ratio(seconds) == "0.50", "dlx takes half of the fast one's time"
    assert timing.ratio({"dlx": [1.0]}) == "-"


def test_every_candidate_is_shown(capsys):
    seconds = {"dlx": [0.002] * 3, "PyTorch, eager": [0.004] * 3}
    timing.show("VAE", seconds, lambda times: timing.milliseconds(times, 2))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["VAE", "dlx", "1", "(1", "...", "1)"],
        ["VAE", "PyTorch,", "eager", "2", "(2", "...", "2)"],
        ["VAE", "dlx", "/", "fastest", "peer", "0.50"],
    ]


@pytest.mark.parametrize(
    ("kind", "gigabytes"),
    [
        ("NVIDIA H200", 4800),
        ("NVIDIA H100 80GB HBM3", 3350),
        ("NVIDIA H100 PCIe", 2000),
        ("NVIDIA A100-SXM4-40GB", 1555),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("NVIDIA A100 80GB PCIe", 1935),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA H200 MIG 1g.18gb", None),
        ("cpu", None),
    ],
)
def test_the_vendors_bandwidth(kind, gigabytes):
    assert bandwidth.vendor(kind) == (gigabytes and gigabytes * 1e9)


def test_bandwidth_counts_what_is_read_and_written(monkeypatch):
    copied = []

    def in_turns(calls):
        copied.append(calls["copy"]())
        return {"copy": [2.0]}

    monkeypatch.setattr(bandwidth, "CPU_BYTES", 4096)
    monkeypatch.setattr(timing, "in_turns", in_turns)
    rate, size = bandwidth.measured()
    assert size == 4096 and rate == 4 * (size + size) / 2.0, "four copies in 2 s"
    assert copied[0].nbytes == size and set(copied[0].tolist()) == {2}, "1, and 1 more"


def test_the_bandwidths_line_has_the_vendors_figure(monkeypatch):
    assert "vendor" not in bandwidth.describe(1e10, 2**30)
    device = types.SimpleNamespace(device_kind="NVIDIA H200")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    line = bandwidth.describe(4.32e12, 4 * 2**30)
    assert "4,320.0 GB/s read and written, copying 4 GiB" in line
    assert line.endswith("the vendor states 4,800 (90% of it)")


def test_a_way_of_pytorch_that_does_not_work_is_a_line(monkeypatch, capsys):
    _parse()

    def broken(function, **options):
        raise RuntimeError("no C++ compiler\nand more")

    compiler = types.SimpleNamespace(reset=lambda: None)
    torch = types.SimpleNamespace(compile=broken, compiler=compiler)
    calls = pytorch.candidates(torch, lambda compile: compile(lambda: 3))
    assert {name: call() for name, call in calls.items()} == {"PyTorch, eager": 3}
    line = "PyTorch, compiled: RuntimeError: no C++ compiler\n"
    assert capsys.readouterr().out == line
    assert pytorch.candidates(None, None) == {}


def test_the_games_ratio_and_what_exceeds_memory(monkeypatch, capsys):
    seconds = {"rocks": [1.0], "catch": [4.0], "render": [0.5]}
    monkeypatch.setattr(envs, "random_play", lambda *_: (seconds, 1000))
    largest = envs._compare(2, "catch", 1000 * envs.SCREEN_BYTES)
    assert largest == 2, "twice the bandwidth"
    assert capsys.readouterr().out.split()[9] == "0.25", "a quarter of Catch's time"


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
