"""A classifier that measures what generative models make.

It is dlx's own, trained by dlx's loop when first asked for, in seconds, and then kept
in ~/.cache/dlx/judges. Another machine, or another version of JAX or of the code that
makes it, has another one with other features: its digest stands beside what it measures
and says whether two numbers compare.
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

from dlx import cache, checkpoint, classification, loop, optimizers, streams, trained
from dlx.data import augment, batches, sources
from dlx.models import classifiers, layers
from dlx.tasks import classifier

_AT_ONCE = 500  # images in one call of the network
_MADE_BY = (
    *(augment, batches, sources, classification, optimizers, streams),
    *(classifier, classifiers, layers),
)


class Judge:
    """A trained classifier.

    Attributes:
      dataset: What it was trained on.
      names: Of the classes, by label.
      accuracy: On the test split, in percent.
      digest: Of all that its features follow from, 12 hexadecimal digits.
    """

    def __init__(self, run: trained.Trained, accuracy: float):
        data = classification.Data(run.config)
        self._state = run.state
        self.dataset = run.config.dataset
        self.names = data.test.names
        self.accuracy = accuracy
        self.digest = checkpoint.digest((run.state.average, run.state.scale))[:12]
        network = classifier.make_network(run.config, data.num_classes)

        @jax.jit
        def look(state, images):
            logits, sown = network.apply(
                state.average,
                state.scale(images),
                train=False,
                mutable=["intermediates"],
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
            looked = self._look(self._state, full)
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
    name = dataset.replace("/", "-")
    workdir = cache.folder("judges", f"{name}-{_described(config)}")
    if not workdir.exists():
        _train(config, workdir)
    summary = json.loads((workdir / "summary.json").read_text())
    run = trained.load(workdir, best=False)
    return Judge(run, summary["metrics"]["accuracy"])


def _described(config):
    """A digest of what decides which judge is made."""
    here = jax.__version__, jax.default_backend(), jax.devices()[0].device_kind
    made = hashlib.sha256(json.dumps([config.to_dict(), here], sort_keys=True).encode())
    for module in _MADE_BY:
        made.update(pathlib.Path(module.__file__).read_bytes())
    return made.hexdigest()[:16]


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
