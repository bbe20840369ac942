"""The reference classifier, which measures generated images.

dlx trains this classifier when it is first needed, and then caches it in
~/.cache/dlx/reference_classifiers. A different machine, version of JAX or
version of the code that trains it gives a different classifier with different features.
Its digest is reported with the metrics; they compare only if the digests are equal.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from absl import logging
import jax
import ml_collections
import numpy as np

from dlx import cache, optimizers, streams
from dlx.data import (
    augment,
    batches,
    decoded,
    files,
    images,
    order,
    sources,
    spectrograms,
    splits,
    streamed,
    tfds,
)
from dlx.errors import UserError
from dlx.models import cpu_conv, layers, mlp
from dlx.runtime import digests, loop, restore
from dlx.runtime.rundir import read_summary
from dlx.vision import classifier, evaluation, networks

FOLDER = "reference_classifiers"  # in dlx's cache
_BATCH = 500  # images in one call of the network
_TRAINED_BY = (
    *(augment, batches, decoded, files, images, order, sources, spectrograms),
    *(splits, streamed, tfds),
    *(evaluation, classifier, networks, cpu_conv, layers, mlp, optimizers, streams),
)


class ReferenceClassifier:
    """A trained classifier.

    Attributes:
      dataset: Name of the data set that it was trained on.
      name: 'DATASET_classifier', for names of metrics.
      names: Names of the classes, by label.
      accuracy: Accuracy on the test split in percent.
      digest: Digest of its parameters and scale, 12 hexadecimal digits.
    """

    def __init__(self, run: restore.Trained, accuracy: float):
        data = evaluation.Data(run.config)
        self._state = run.state
        self.dataset = run.config.dataset
        self.name = re.sub(r"\W", "_", f"{self.dataset}_classifier")
        self.names = data.test.names
        self.accuracy = accuracy
        self.digest = digests.digest((run.state.average, run.state.scale))[:12]
        network = classifier.make_network(run.config, data)

        @jax.jit
        def classify(state, images):
            logits, sown = network.apply(
                state.average,
                state.scale(images),
                train=False,
                mutable=["intermediates"],
            )
            return jax.nn.log_softmax(logits), sown["intermediates"]["features"][0]

        self._classify = classify

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classifies images; returns log-probabilities and penultimate features.

        Args:
          images: [number, height, width, channels] uint8, like the training images.

        Returns:
          [number, classes] float32 and [number, width] float32.
        """
        classify = functools.partial(self._classify, self._state)
        return evaluation.in_batches(classify, images, _BATCH)


@functools.cache
def load(
    dataset: str,
    data_dir: str | None,
    manual_dir: str | None,
    image_size: int | None = None,
) -> ReferenceClassifier:
    """Loads the classifier of a data set. Trains it if it is missing or damaged.

    Args:
      dataset: See dlx/data/sources.py.
      data_dir: See dlx/data/sources.py.
      manual_dir: See dlx/data/sources.py.
      image_size: Height and width of the images; None for the data set's own.

    Raises:
      UserError: if the data are missing.
    """
    config = make_config(dataset, data_dir, manual_dir, image_size)
    name = f"{dataset.replace('/', '-')}-{_config_digest(config)}"
    workdir = cache.folder(FOLDER, name)
    trained_at = _ensure_trained(config, workdir)
    try:
        return _read(workdir)
    except UserError as error:
        logging.warning("training the reference classifier again: %s", error)
        _ensure_trained(config, workdir, damaged=trained_at)
        return _read(workdir)


def _config_digest(config):
    """Digest of everything that determines the trained classifier."""
    here = jax.__version__, jax.default_backend(), jax.devices()[0].device_kind
    text = json.dumps([config.to_dict(), here], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for module in _TRAINED_BY:
        digest.update(pathlib.Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]


def _ensure_trained(config, workdir, damaged=None):
    """Trains the classifier if it is missing. Waits if another process trains it.

    A classifier that was trained at the time `damaged` is replaced. Returns the time at
    which the classifier was trained.
    """

    def trained_at():
        summary = workdir / "summary.json"
        return summary.stat().st_mtime_ns if summary.exists() else None

    if trained_at() not in (None, damaged):
        return trained_at()
    with cache.locked(workdir):
        if trained_at() in (None, damaged):
            shutil.rmtree(workdir, ignore_errors=True)
            print(
                f"training a reference classifier of {config.dataset} in {workdir}; on "
                "two CPU cores this takes 10 s for 8x8 images, a minute for 28x28, and "
                "five for spectrograms",
                file=sys.stderr,
                flush=True,
            )
            if jax.process_count() == 1:
                train(config, workdir)
            else:
                _train_in_child(config, workdir)
        return trained_at()


def _read(workdir):
    """Loads the classifier; all processes read its checkpoint together."""
    accuracy = read_summary(workdir).get("metrics", {}).get("accuracy")
    if accuracy is None:
        raise UserError(f"{workdir} holds no trained classifier")
    run = restore.load(workdir, classifier.make, best=False)
    return ReferenceClassifier(run, accuracy)


def train(config, workdir: pathlib.Path) -> None:
    """Trains in a temporary folder, and renames it when training has ended."""
    with tempfile.TemporaryDirectory(dir=workdir.parent, prefix="unfinished-") as part:
        part = pathlib.Path(part, "run")
        name = f"reference classifier of {config.dataset}"
        summary = loop.train(classifier.make(config), config, part, name=name)
        if summary["status"] == "preempted":
            sys.exit(128 + summary["signal"])
        with contextlib.suppress(OSError):  # without locks another may be first
            part.rename(workdir)


def _train_in_child(config, workdir):
    """Trains in a child process on the CPU, because here all processes would train.

    The parent holds the lock, for which this machine's other processes wait.
    """
    code = (
        "import json, pathlib, sys; "
        "from dlx.generative.measures import reference_classifier; "
        "*where, workdir = json.load(sys.stdin); "
        "config = reference_classifier.make_config(*where); "
        "reference_classifier.train(config, pathlib.Path(workdir))"
    )
    where = config.dataset, config.data_dir, config.manual_dir
    where += config.get("image_size"), str(workdir)
    child = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(where),
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        text=True,
        check=False,
    )
    if child.returncode:
        sys.exit(abs(child.returncode))


def make_config(dataset, data_dir, manual_dir, image_size=None):
    """Returns a config like configs/cnn_mnist.py, a bit wider and a third as long."""
    config = ml_collections.ConfigDict()
    config.task = "classifier"
    config.seed = 0
    config.dataset = dataset
    config.data_dir = data_dir
    config.manual_dir = manual_dir
    if image_size is not None:
        config.image_size = image_size
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
    # Spectrograms have ten times as many pixels as digits, and fewer examples.
    config.num_steps = 800 if dataset.startswith(spectrograms.PREFIX) else 2400
    config.log_steps = config.num_steps // 10
    config.eval_steps = config.checkpoint_steps = config.num_steps
    config.keep_checkpoints = 1
    return config
