"""A published run has the parameters and the evaluation of the run."""

import json

import jax
import numpy as np
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import loop, published, restore
from dlx.runtime.evaluate import evaluate


def _classifier():
    from configs import cnn_cifar10

    config = cnn_cifar10.get_config()
    config.dataset, config.data_dir = "digits", "/nowhere/data"
    config.widths, config.batch_size = config.widths[:1], 32
    config.num_steps = config.log_steps = config.eval_steps = 2
    config.checkpoint_steps = 2
    return config


def _publish(config, folder):
    """Trains, and publishes to another folder; returns both as they are restored."""
    loop.train(tasks.make(config), config, folder / "run", name="test")
    run = restore.load(folder / "run", tasks.make)
    out = folder / "published"
    out.mkdir()
    files = published.write(out, run.task, run.config.to_dict(), run.step, run.state)
    assert not files and published.is_published(out)
    return run, restore.load(out, tasks.make)


def _assert_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("kind", ["agent", "classifier"])
def test_parameters_and_evaluation_are_equal(kind, config, tmp_path):
    config = config if kind == "agent" else _classifier()
    run, read = _publish(config, tmp_path)
    assert read.step == run.step > 0
    _assert_equal(run.state.params, read.state.params)
    if kind == "classifier":  # no field differs between devices
        _assert_equal(*(r.state.replace(opt_state=None) for r in (run, read)))
    numbers = [evaluate(r.task, r.keys, r.step, r.state) for r in (run, read)]
    assert numbers[0] == numbers[1]
    text = (tmp_path / "published" / "config.json").read_text()
    assert "/nowhere" not in text and json.loads(text)["seed"] == config.seed
    names = published.read(tmp_path / "published", run.task, run.keys)
    assert names[0] == run.step


def test_another_network_and_damage_are_a_line(config, tmp_path):
    _publish(config, tmp_path)
    folder = tmp_path / "published"
    settings = json.loads((folder / "config.json").read_text())
    other = json.dumps(settings | {"features": [8]})
    (folder / "config.json").write_text(other)
    with pytest.raises(UserError, match=r"params.*, but the config makes"):
        restore.load(folder, tasks.make)
    (folder / "config.json").write_text(json.dumps(settings))
    weights = folder / published.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged"):
        restore.load(folder, tasks.make)


def test_no_path_of_this_machine_is_published():
    config = {
        "task": "style", "data_dir": "/home/me/data", "style": "/home/me/a.jpg,/b.png",
        "content": "skimage:astronaut", "weights": "hf:owner/name/file.safetensors",
        "dataset": "folder:/home/me/cats",
    }  # fmt: skip
    portable, files = published._portable(config)
    assert "/home" not in json.dumps(portable) and portable["data_dir"] is None
    assert portable["style"] == "a.jpg,b.png" and portable["dataset"] == "folder:cats"
    assert portable["weights"] == config["weights"]
    assert files == ["style", "dataset"]


def test_an_invalid_name_of_the_hub_is_a_line():
    with pytest.raises(UserError, match="runs of the hub are hf:OWNER/NAME"):
        published.fetch("hf:name")


@pytest.mark.parametrize(
    "config",
    [
        {"task": "os.system"}, {"env": {"name": "os.system", "command": "true"}},
        {"network": {"name": "subprocess.call"}}, {"network": "subprocess.call"},
        {"optimizer": "os.remove"}, {"dataset": "my_package.data"},
    ],
)  # fmt: skip
def test_a_run_of_the_hub_imports_no_code(config, monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"task": "vae"} | config))
    monkeypatch.setattr(published, "fetch", lambda name: tmp_path)
    with pytest.raises(UserError, match="hf:some/body names code to import"):
        restore.load("hf:some/body", tasks.make)
    known = {"task": "vae", "dataset": "folder:a.b", "env": {"name": "gymnax/x.y"}}
    published.require_no_imports("hf:a/b", known | {"optimizer": "optax.adabelief"})
