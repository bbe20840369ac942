"""What README says that the configs reach."""

import importlib

import jax
import pytest

from dlx import loop, metrics, tasks

SEEDS = range(5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["pg_rocks8", "pg_rocks16", "dqn_rocks8", "dqn_rocks16"]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_start_is_caught_throughout_the_last_quarter(name, seed, tmp_path):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.seed = seed
    with jax.debug_key_reuse(False):  # checks every call, which takes longer than it
        loop.train(tasks.make(config), config, tmp_path, name=name)
    lines = metrics.read_lines(tmp_path / "metrics.jsonl")
    starts = [line["eval/perfect_starts"] for line in lines if "eval/starts" in line]
    last_quarter = starts[-max(1, len(starts) // 4) :]
    assert set(last_quarter) == {config.env.size**2}
