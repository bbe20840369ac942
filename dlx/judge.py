"""A classifier that measures what generative models make.

It is dlx's own, trained by dlx's loop when first asked for, in seconds, and then kept
in ~/.cache/dlx/judges.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from absl import logging
import jax
import ml_collections
import numpy as np

from dlx import cache, classification, loop, trained
from dlx.errors import UserError
from dlx.tasks import classifier
from dlx.workdir import read_summary

_AT_ONCE = 500  # images in one call of the network


class Judge:
    """A trained classifier.

    Attributes:
      dataset: What it was trained on.
      names: Of the classes, by label.
      accuracy: On the test split, in percent.
    """

    def __init__(self, run: trained.Trained, accuracy: float):
        self._data = classification.Data(run.config)
        self._average = run.state.average
        self.dataset = run.config.dataset
        self.names = self._data.test.names
        self.accuracy = accuracy
        network = classifier.make_network(run.config, self._data.num_classes)

        @jax.jit
        def look(average, images):
            logits, sown = network.apply(
                average, images, train=False, mutable=["intermediates"]
            )
            return jax.nn.log_softmax(logits), sown["intermediates"]["features"][0]

        self._look = look

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What it sees.

        Args:
          images: [number, height, width, channels] uint8, as those it was trained on.

        Returns:
          Log-probabilities [number, classes], and its last hidden layer's activations
          [number, width], float32 both.
        """
        seen = []
        for first in range(0, len(images), _AT_ONCE):
            some = images[first : first + _AT_ONCE]
            full = np.resize(some, (_AT_ONCE, *some.shape[1:]))  # so one program does
            looked = self._look(self._average, self._data.scale(full))
            seen.append([np.asarray(part)[: len(some)] for part in looked])
        log_probs, features = zip(*seen, strict=True)
        return np.concatenate(log_probs), np.concatenate(features)


@functools.cache
def load(dataset: str, data_dir: str | None, manual_dir: str | None) -> Judge:
    """The judge of a data set, trained if there is none yet, or its files are damaged.

    Args:
      dataset: As in dlx/data/sources.py.
      data_dir: As there.
      manual_dir: As there.

    Raises:
      UserError: if the data are missing.
    """
    config, workdir = place(dataset, data_dir, manual_dir)
    made = _made(config, workdir)
    try:
        return _read(workdir)
    except UserError as error:
        logging.warning("training it again: %s", error)
        _made(config, workdir, unless=made)
        return _read(workdir)


def place(dataset: str, data_dir: str | None, manual_dir: str | None):
    """The config of a judge, and the folder where it is kept."""
    config = _config(dataset, data_dir, manual_dir)
    described = json.dumps(config.to_dict(), sort_keys=True)
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    name = dataset.replace("/", "-")
    return config, cache.folder("judges", f"{name}-{digest}")


def _made(config, workdir, unless=None):
    """Trains the judge, unless it is there or another process is about it.

    Returns when it was made; one that was made at `unless` is damaged.
    """

    def when():
        summary = workdir / "summary.json"
        return summary.stat().st_mtime_ns if summary.exists() else None

    if when() not in (None, unless):
        return when()
    with cache.locked(workdir):
        if when() in (None, unless):
            shutil.rmtree(workdir, ignore_errors=True)
            if jax.process_count() == 1:
                train(config, workdir)
            else:
                _train_alone(config)
        return when()


def _read(workdir):
    """The judge; its checkpoint is read by all processes together."""
    accuracy = read_summary(workdir).get("metrics", {}).get("accuracy")
    if accuracy is None:
        raise UserError(f"{workdir} holds no judge")
    return Judge(trained.load(workdir, best=False), accuracy)


def train(config, workdir: pathlib.Path) -> None:
    """Trains elsewhere, and renames the folder when it is complete."""
    with tempfile.TemporaryDirectory(dir=workdir.parent, prefix="unfinished-") as part:
        part = pathlib.Path(part, "judge")
        name = f"a judge of {config.dataset}"
        summary = loop.train(classifier.make(config), config, part, name=name)
        if summary["status"] == "preempted":
            sys.exit(128 + summary["signal"])
        with contextlib.suppress(OSError):  # without locks another may be first
            part.rename(workdir)


def _train_alone(config):
    """Trains in a child process, on the CPU: here a run would be one of all processes.

    The parent holds the lock, so that the others of this machine wait for it.
    """
    code = (
        "import json, sys; from dlx import judge; "
        "judge.train(*judge.place(*json.load(sys.stdin)))"
    )
    where = config.dataset, config.data_dir, config.manual_dir
    child = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(where),
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        text=True,
        check=False,
    )
    if child.returncode:
        sys.exit(abs(child.returncode))


def _config(dataset, data_dir, manual_dir):
    """Of configs/cnn_mnist.py's kind: a bit wider, a third as long."""
    config = ml_collections.ConfigDict()
    config.task = "classifier"
    config.seed = 0
    config.dataset = dataset
    config.data_dir = data_dir
    config.manual_dir = manual_dir
    config.streamed = False
    config.batch_size = 128
    config.shift = 1
    config.shift_fill = "black"
    config.flip = "never"
    config.brightness = 0.0
    config.contrast = 0.0
    config.network = "cnn"
    config.features = (128,)
    config.channels = (16, 32)
    config.dropout = 0.25
    config.learning_rate = 1e-2
    config.warmup_steps = 100
    config.weight_decay = 1e-2
    config.label_smoothing = 0.0
    config.ema_decay = 0.99
    config.num_steps = 2400
    config.log_steps = 240
    config.eval_steps = 2400
    config.checkpoint_steps = 2400
    config.keep_checkpoints = 1
    return config
