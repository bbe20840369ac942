"""The configs reach the figures of docs/measured.md, by their own commands."""

import json
import os
import pathlib
import statistics
import subprocess
import sys

import pytest

from dlx.runtime import writers

SEEDS = range(5)
DATA = pathlib.Path("../shared/data/tfds")
PERFECT = [
    *(
        f"{algorithm}_rocks{size}:{network}"
        for size in (8, 16)
        for algorithm in ("pg", "dqn")
        for network in ("mlp", "cnn")
    ),
    *("pg_rocks32:mlp", "pg_rocks32:cnn", "pqn_rocks16"),
]


def _train(name, seed, folder, **settings):
    """The summary of a run of a config, NAME:ARGUMENT, on the machine as it is."""
    file, *argument = name.split(":")
    config = ":".join([f"configs/{file}.py", *argument])
    settings = {"seed": seed} | settings
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "launch.main", f"--workdir={folder}"),
            f"--config={config}",
            *(f"--config.{key}={value}" for key, value in settings.items()),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "summary.json").read_text())


def _last(share, name, seed, folder):
    """The evaluations of the last share of a run."""
    _train(name, seed, folder)
    lines = writers.read_lines(folder / "metrics.jsonl")
    evaluated = [line for line in lines if "eval/starts" in line]
    return evaluated[-max(1, int(share * len(evaluated))) :]


@pytest.mark.slow
@pytest.mark.parametrize("name", PERFECT)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_start_is_caught_throughout_the_last_quarter(name, seed, tmp_path):
    for line in _last(1 / 4, name, seed, tmp_path):
        assert line["eval/perfect_starts"] == line["eval/starts"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("pqn_rocks32", 32), ("pg_rocks64", 64)])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_start_is_caught_throughout_the_last_tenth(name, size, seed, tmp_path):
    for line in _last(1 / 10, name, seed, tmp_path):
        assert line["eval/perfect_starts"] == line["eval/starts"] == size**2


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_hardly_a_rock_is_missed_in_rain_that_could_be_caught(seed, tmp_path):
    for line in _last(1 / 4, "dqn_rocks16_rain", seed, tmp_path):
        assert line["eval/optimal_fraction"] >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_no_seed_collapses(seed, tmp_path):
    summary = _train("dcgan_digits", seed, tmp_path)
    numbers = summary["metrics"]
    assert numbers["last_modes"] == 10 and numbers["last_least_share"] >= 4
    assert not numbers["last_collapsed"]


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not there")
@pytest.mark.parametrize(
    ("name", "seeds", "least"),
    [
        ("numpy_mnist", SEEDS, 98.4),
        ("mlp_mnist", SEEDS, 98.6),
        ("cnn_mnist_fast", SEEDS, 99.0),
        ("cnn_mnist", SEEDS, 99.5),
        ("cnn_cifar10", [0], 86.0),
    ],
)
def test_images_are_classified(name, seeds, least, tmp_path):
    accuracies = [
        _train(name, seed, tmp_path / str(seed), data_dir=str(DATA))["metrics"][
            "accuracy"
        ]
        for seed in seeds
    ]
    assert statistics.mean(accuracies) >= least
