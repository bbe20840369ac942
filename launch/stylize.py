"""Stylises pictures with a network that was trained for one style.

    python -m launch.stylize --workdir=runs/fast_style/20261126-120000 *.jpg

NAME.jpg becomes NAME-painted.png in --out. Pictures of equal names are an error.
"""

import pathlib
import time

from . import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import numpy as np

from dlx import figures, tasks
from dlx.data import images
from dlx.errors import UserError
from dlx.runtime import restore

_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_OUT = start.path_flag("out", ".", "The folder of the results.")
_SIZE = flags.DEFINE_integer(
    "size",
    None,
    "The longer side in pixels; by default the picture's own.",
    lower_bound=1,
)


def main(*names: str) -> None:
    outputs = {name: _output(name) for name in names}
    for output in set(outputs.values()):
        same = [name for name in outputs if outputs[name] == output]
        if len(same) > 1:
            raise UserError(f"{' and '.join(same)} would all become {output}.png")
    pictures = {name: images.read(name) for name in names}
    run = restore.load(_WORKDIR.value, tasks.make)
    make_paint = tasks.abilities(run.config).paint
    if make_paint is None:
        raise UserError(
            f"{_WORKDIR.value} is a run of {run.config.task}, not fast_style"
        )
    paint = make_paint(run.config)
    for name, picture in pictures.items():
        shape = images.shape_at(picture, _SIZE.value or max(picture.size))
        photograph = images.resize(picture, shape)[None]
        jax.block_until_ready(paint(run.state.params, photograph))  # compiles
        began = time.perf_counter()
        painted = np.asarray(paint(run.state.params, photograph))[0]
        took = 1000 * (time.perf_counter() - began)
        pixels = np.uint8(np.round(255 * painted))
        path = figures.save(_OUT.value, outputs[name], pixels)
        print(f"{path}: {shape[1]}x{shape[0]}, {took:.0f} ms")


def _output(name):
    return f"{pathlib.Path(name.removeprefix(images.BUNDLED)).stem}-painted"


if __name__ == "__main__":
    start.run(main, files=True)
