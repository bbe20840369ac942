"""What is said of an experiment before it trains, against a count by hand."""

import re

from dlx import tasks
from dlx.runtime import inspection


def _number(lines, name):
    (line,) = [line for line in lines if line.startswith(name)]
    return float(re.search(r"[\d.e+-]+", line.removeprefix(name))[0])


def test_a_classifiers_cost_is_that_of_its_matrix_products():
    from configs import mlp_mnist

    config = mlp_mnist.get_config()
    config.dataset, config.shift = "digits", 0
    config.batch_size, config.features = 64, (32,)
    task = tasks.make(config)
    described = inspection.described(task, config)
    assert "MLP_0/Dense_0/kernel  [64, 32] float32  2,048" in described["parameters"]
    number = 64 * 32 + 32 + 32 * 10 + 10
    assert f"{number:,} parameters" in described["parameters"][-1]
    params = _number(described["state"], "params")
    assert abs(params - 4 * number / 1e6) < 1e-5
    assert _number(described["state"], "opt_state") >= 2 * params, (
        "Adam has two moments"
    )
    assert "images  [32, 8, 8, 1] uint8" in described["batch of one device"]

    measured = inspection.measured(task, config)
    step = measured["a step on one device"]
    # Forward, and backward to the weights; also to the inputs of the second layer.
    products = 2 * 32 * (2 * 64 * 32 + 3 * 32 * 10)
    assert products < 1e9 * _number(step, "operations") < 2 * products
    assert _number(measured["time"], "an epoch") > 0
    assert f"{1437 / 64:.1f} steps" in " ".join(measured["time"])


def test_an_agent_makes_its_own_batch(config):
    described = inspection.described(tasks.make(config), config)
    assert described["batch of one device"] == ["none: steps make their data"]
