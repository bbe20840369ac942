"""A classifier that measures what generative models make.

It is dlx's own, trained by dlx's loop when first asked for, in seconds, and then kept
in ~/.cache/dlx/judges.
"""

import functools
import hashlib
import json
import pathlib
import shutil
import sys
import tempfile

import jax
import ml_collections
import numpy as np

from dlx import cache, classification, loop, trained
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
    """The judge of a data set, trained if there is none yet.

    Args:
      dataset: As in dlx/data/sources.py.
      data_dir: As there.
      manual_dir: As there.

    Raises:
      UserError: where the data cannot be had.
    """
    config = _config(dataset, data_dir, manual_dir)
    described = json.dumps(config.to_dict(), sort_keys=True)
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    name = dataset.replace("/", "-")
    workdir = cache.folder("judges", f"{name}-{digest}")
    if not workdir.exists():
        _train(config, workdir)
    summary = read_summary(workdir)
    run = trained.load(workdir, best=False)
    return Judge(run, summary["metrics"]["accuracy"])


def _train(config, workdir):
    """Elsewhere, until it is done: others may be about the same."""
    workdir.parent.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(dir=workdir.parent, prefix="unfinished-"))
    try:
        name = f"a judge of {config.dataset}"
        summary = loop.train(classifier.make(config), config, part, name=name)
        if summary["status"] == "preempted":
            sys.exit(128 + summary["signal"])
        if not workdir.exists():
            part.rename(workdir)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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
