"""Says what a trained classifier sees in pictures.

    python -m launch.predict --workdir=runs/cnn_mnist/20261125-120000 seven.png cat.jpg

Any size, in colour or grey. For a classifier of grey images a picture of something dark
on something light is inverted, cropped to what is drawn on it and centred, as its
training images are.
"""

from launch import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import numpy as np

from dlx import tasks
from dlx.data import images as pictures
from dlx.errors import UserError
from dlx.runtime import restore
from launch import preprocess

_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_TOP = flags.DEFINE_integer("top", 3, "How many classes to name.", lower_bound=1)


def main(*paths: str) -> None:
    seen = [pictures.read(path) for path in paths]
    run = restore.load(_WORKDIR.value, tasks.make)
    classify = tasks.abilities(run.config).classify
    if classify is None:
        raise UserError(
            f"{_WORKDIR.value} is a run of {run.config.task}: no classifier"
        )
    data, logits = classify(run.config)
    images = np.stack([preprocess.fit(picture, data.test.images) for picture in seen])
    probabilities = jax.nn.softmax(np.asarray(logits(run.state, images)))
    for path, row in zip(paths, np.asarray(probabilities), strict=True):
        best = np.argsort(-row)[: _TOP.value]
        said = ", ".join(f"{data.test.names[i]} {100 * row[i]:.1f} %" for i in best)
        print(f"{path}: {said}")


if __name__ == "__main__":
    start.run(main, files=True)
