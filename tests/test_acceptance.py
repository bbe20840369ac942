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
    (f"{algorithm}_rocks{size}", network)
    for size in (8, 16)
    for algorithm in ("pg", "dqn")
    for network in ("mlp", "cnn")
] + [("pg_rocks32", "mlp"), ("pg_rocks32", "cnn")]


def _train(name, arguments, seed, folder, **settings):
    """The summary of a run of a config, on the machine as it is."""
    config = ":".join([f"configs/{name}.py", *arguments])
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


def _last_quarter(name, arguments, seed, folder):
    """The evaluations of the run's last quarter."""
    _train(name, arguments, seed, folder)
    lines = writers.read_lines(folder / "metrics.jsonl")
    evaluated = [line for line in lines if "eval/starts" in line]
    return evaluated[-max(1, len(evaluated) // 4) :]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "network"), PERFECT)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_start_is_caught_throughout_the_last_quarter(
    name, network, seed, tmp_path
):
    for line in _last_quarter(name, [network], seed, tmp_path):
        assert line["eval/perfect_starts"] == line["eval/starts"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_hardly_a_rock_is_missed_in_rain_that_could_be_caught(seed, tmp_path):
    for line in _last_quarter("dqn_rocks16_rain", [], seed, tmp_path):
        assert line["eval/optimal_fraction"] >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_no_seed_collapses(seed, tmp_path):
    summary = _train("dcgan_digits", [], seed, tmp_path)
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
        _train(name, [], seed, tmp_path / str(seed), data_dir=str(DATA))["metrics"][
            "accuracy"
        ]
        for seed in seeds
    ]
    assert statistics.mean(accuracies) >= least
