"""A short campaign of faults, and its report of a run that does not recover."""

import subprocess
import sys

import pytest

from launch.faults import __main__ as faults


def _faults(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "launch.faults", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_short_campaign():
    done = _faults("--runs=1", "--only=pg_rocks8,killed,damaged,second_run")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:5] for line in lines] == [
        ["pg_rocks8", fault, "recovered", "1", "of"]
        for fault in ("killed", "damaged", "second_run")
    ]


def test_what_is_broken_is_counted(capsys):
    def breaks(campaign):
        campaign.append(1)
        if len(campaign) % 2:
            raise faults.BrokenError("another\nstep")
        return "killed"

    def cannot(campaign):
        raise faults.UntriedError("no disk")

    assert faults.inject(breaks, [], 3, "run") == 2
    assert faults.inject(cannot, [], 3, "run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "run            breaks       recovered 1 of 3 (1 killed)",
        "    another step",
        "    another step",
        "run            cannot       not tried: no disk",
    ]


def test_an_unknown_name_is_a_line():
    done = _faults("--only=pg_rocks9")
    assert done.returncode == 2
    assert (
        "unknown name in --only: pg_rocks9; choose from damaged, damaged_run, "
        in done.stderr
    )
    assert done.stderr.count("\n") == 1
