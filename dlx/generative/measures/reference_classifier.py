"""A classifier that measures what generative models make.

It is dlx's own, trained by dlx's loop when first asked for, in seconds, and then kept
in ~/.cache/dlx/judges. Another machine, or another version of JAX or of the code that
makes it, has another one with other features: its digest stands beside what it measures
and says whether two numbers compare.
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

from dlx import cache, optimizers, streams
from dlx.data import augment, batches, sources
from dlx.errors import UserError
from dlx.models import cpu_conv, layers
from dlx.runtime import checkpoint, loop, restore
from dlx.runtime.rundir import read_summary
from dlx.vision import classifier, evaluation, networks

_AT_ONCE = 500  # images in one call of the network
_MADE_BY = (
    *(augment, batches, sources, evaluation, optimizers, streams),
    *(classifier, networks, cpu_conv, layers),
)


class Judge:
    """A trained classifier.

    Attributes:
      dataset: What it was trained on.
      names: Of the classes, by label.
      accuracy: On the test split, in percent.
      digest: Of all that its features follow from, 12 hexadecimal digits.
    """

    def __init__(self, run: restore.Trained, accuracy: float):
        data = evaluation.Data(run.config)
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
    """The judge of a data set, trained if there is none yet, or its files are damaged.

    Args:
      dataset: As in dlx/data/sources.py.
      data_dir: As there.
      manual_dir: As there.

    Raises:
      UserError: if the data are missing.
    """
    config = make_config(dataset, data_dir, manual_dir)
    name = f"{dataset.replace('/', '-')}-{_described(config)}"
    workdir = cache.folder("judges", name)
    made = _made(config, workdir)
    try:
        return _read(workdir)
    except UserError as error:
        logging.warning("training it again: %s", error)
        _made(config, workdir, unless=made)
        return _read(workdir)


def _described(config):
    """A digest of what decides which judge is made."""
    here = jax.__version__, jax.default_backend(), jax.devices()[0].device_kind
    made = hashlib.sha256(json.dumps([config.to_dict(), here], sort_keys=True).encode())
    for module in _MADE_BY:
        made.update(pathlib.Path(module.__file__).read_bytes())
    return made.hexdigest()[:16]


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
                _train_alone(config, workdir)
        return when()


def _read(workdir):
    """The judge; its checkpoint is read by all processes together."""
    accuracy = read_summary(workdir).get("metrics", {}).get("accuracy")
    if accuracy is None:
        raise UserError(f"{workdir} holds no judge")
    return Judge(restore.load(workdir, classifier.make, best=False), accuracy)


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


def _train_alone(config, workdir):
    """Trains in a child process, on the CPU: here a run would be one of all processes.

    The parent holds the lock, so that the others of this machine wait for it.
    """
    code = (
        "import json, pathlib, sys; "
        "from dlx.generative.measures import reference_classifier as judge; "
        "*where, workdir = json.load(sys.stdin); "
        "judge.train(judge.make_config(*where), pathlib.Path(workdir))"
    )
    where = config.dataset, config.data_dir, config.manual_dir, str(workdir)
    child = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(where),
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        text=True,
        check=False,
    )
    if child.returncode:
        sys.exit(abs(child.returncode))


def make_config(dataset, data_dir, manual_dir):
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
