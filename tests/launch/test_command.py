"""The command `dlx`: names of programs and configs; mistakes are one line."""

import os
import pathlib
import subprocess
import sys

import pytest

from launch import __main__ as command
from launch import shipped

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def started(monkeypatch):
    """Runs the command; returns the process it would become, without the Python."""

    class StartedError(Exception):
        pass

    def execv(path, line):
        assert path == line[0] == sys.executable
        raise StartedError(line[1:])

    monkeypatch.setattr(os, "execv", execv)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dlx", *arguments])
        with pytest.raises(StartedError) as reached:
            command.main()
        return reached.value.args[0]

    return run


def test_a_config_is_found_by_its_name_and_by_its_path(started, tmp_path, monkeypatch):
    own = tmp_path / "pg_rocks16.py"
    own.touch()
    monkeypatch.chdir(tmp_path)
    configs = ROOT / "configs"
    for given, path in {
        "vae_mnist": configs / "vae_mnist.py",
        "vae_mnist:paper": f"{configs}/vae_mnist.py:paper",
        "configs/vae_mnist.py:paper": f"{configs}/vae_mnist.py:paper",
        "pg_rocks16": configs / "pg_rocks16.py",
        "pg_rocks16.py": "pg_rocks16.py",
        str(own): own,
    }.items():
        line = started("train", given, "--config.seed=1")
        assert line == ["-m", "launch.main", f"--config={path}", "--config.seed=1"]
    line = started("sweep", "rocks_rain")
    assert line[-1] == f"--config={configs}/sweeps/rocks_rain.py"
    line = started("inspect", "--config=x.py")
    assert line == ["-m", "launch.inspect", "--config=x.py"]
    assert started("bench", "envs") == ["-m", "launch.bench", "envs"]


def test_every_program_is_a_command():
    programs = command._programs()
    named = {
        "train" if path.stem == "main" else path.stem for path in programs.values()
    }
    assert set(programs) == named
    # Those that documents name, with `python -m launch.NAME`.
    assert programs.keys() >= {
        *("bench", "classify", "evaluate", "faults", "gallery", "inspect", "latent"),
        *("play", "predict", "report", "stylize", "sweep", "train"),
    }
    for helper in ("start", "preprocess", "shipped", "rocks_match"):
        assert helper not in programs


def test_lists_have_a_line_of_each_docstring(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dlx", "configs"])
    assert command.main() == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    described = {words[0] for words in lines if len(words) == 2}
    assert {path.stem for path in (ROOT / "configs").rglob("*.py")} <= described
    monkeypatch.setattr(sys, "argv", ["dlx"])
    assert command.main() == 0
    assert "  train     Trains the experiment" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["trian"], "did you mean train?"),
        (["train", "pg_rock16"], "did you mean pg_rocks16 or"),
        (["train", "qqqq"], "`dlx configs` lists them"),
        (["sweep", "pg_rocks16"], "no config 'pg_rocks16'"),
        (["start"], "no command 'start'"),
    ],
)
def test_an_unknown_name_is_one_line(arguments, hint):
    done = subprocess.run(
        [sys.executable, "-m", "launch", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("dlx: ") and hint in line


def test_commands_for_people_name_the_config_as_the_package_is_used(monkeypatch):
    text = shipped.train_command("vae_mnist", "--config.seed=1")
    given = "python -m launch.main --config=configs/vae_mnist.py --config.seed=1"
    assert text == given
    monkeypatch.setattr(shipped, "IN_CHECKOUT", False)
    assert shipped.train_command("vae_mnist") == "dlx train vae_mnist"
