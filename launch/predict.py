"""Classifies pictures with a trained classifier.

    python -m launch.predict --workdir=runs/cnn_mnist/20261125-120000 seven.png cat.jpg

Pictures may have any size, and may be grey or in colour. For a classifier of grey
images, a dark drawing on a light ground is inverted, cropped and centred, like the
training images.
"""

from . import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import numpy as np

from dlx import tasks
from dlx.data import images
from dlx.errors import UserError
from dlx.runtime import restore

from . import preprocess

_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_TOP = flags.DEFINE_integer("top", 3, "The number of classes to print.", lower_bound=1)


def main(*paths: str) -> None:
    pictures = [images.read(path) for path in paths]
    run = restore.load(_WORKDIR.value, tasks.make)
    classify = tasks.abilities(run.config).classify
    if classify is None:
        raise UserError(
            f"{_WORKDIR.value} is a run of {run.config.task}, which is not a classifier"
        )
    data, logits = classify(run.config)
    batch = np.stack(
        [
            preprocess.named(path, picture, data.test.images)
            for path, picture in zip(paths, pictures, strict=True)
        ]
    )
    probabilities = jax.nn.softmax(np.asarray(logits(run.state, batch)))
    for path, row in zip(paths, np.asarray(probabilities), strict=True):
        best = np.argsort(-row)[: _TOP.value]
        answer = ", ".join(f"{data.test.names[i]} {100 * row[i]:.1f} %" for i in best)
        print(f"{path}: {answer}")


if __name__ == "__main__":
    start.run(main, files=True)
