"""Pictures in a run's folder: frames, the task's figures, the learning curve."""

import collections
import pathlib
import re

import jax
import numpy as np

from dlx import figures
from dlx.runtime.task import State, Task
from dlx.runtime.writers import read_lines


def draw_frames(
    task: Task, state: State, key: jax.Array, workdir: pathlib.Path, step: int
) -> None:
    """Writes the task's frames of a step, figures/NAME/STEP.png."""
    for name, frame in task.frames(state, key).items():
        figures.save(workdir / "figures" / name, f"{step:09}", frame)


def draw(
    task: Task, state: State, key: jax.Array, workdir: pathlib.Path, step: int
) -> None:
    """Joins the frames, and writes the task's figures and the learning curve."""
    del step  # they show the end of the run
    folder = workdir / "figures"
    for frames in folder.glob("*/"):
        figures.join(frames)
    pictures = task.figures(state, key)
    pictures["learning_curve"] = learning_curve(workdir / "metrics.jsonl")
    for name, picture in pictures.items():
        figures.save(folder, name, picture)


def learning_curve(path: pathlib.Path) -> np.ndarray:
    """Plots losses, accuracies and evaluations by step: [height, width, 3] uint8.

    Evaluation metrics that never change are left out.
    """
    lines = read_lines(path)
    panels = collections.defaultdict(dict)
    for name in lines[-1]:
        kind, *words = re.split("[/_]", name)
        trained = [word for word in ("loss", "accuracy") if word in words]
        if not (kind == "eval" or (kind == "train" and trained)):
            continue
        points = [(line["step"], line[name]) for line in lines if name in line]
        x, y = zip(*points, strict=True)
        if kind == "train":
            panels[f"train/{trained[0]}"][name] = (x, y)
        elif len(set(y)) > 1:
            title = "/".join(name.split("/")[:2])  # without the number of a seed
            panels[title][name] = (x, y)
    return figures.curves(panels, xlabel="step", columns=4)
