"""Plots, image grids and animations as uint8 arrays, and their files."""

from collections.abc import Sequence
import dataclasses
import math
import pathlib
import wave

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FRAMES_PER_SECOND = 12.5  # GIFs store durations in hundredths of a second


@dataclasses.dataclass(frozen=True)
class Sound:
    """A mono sound.

    Attributes:
      samples: [number] float32 in [-1, 1].
      rate: Samples per second.
    """

    samples: np.ndarray
    rate: int


def save(
    directory: pathlib.Path, name: str, picture: np.ndarray | Sound | str
) -> pathlib.Path:
    """Writes an image as NAME.png, an animation as .gif, a sound as .wav, text as .txt.

    Args:
      directory: The folder; it is made if it is missing.
      name: The file's name without its ending.
      picture: [height, width, 3] uint8 (an image), [frames, height, width, 3] uint8 (an
        animation), a sound, or a text.

    Returns:
      The file's path.

    Raises:
      ValueError: if an array has another dtype or shape.
    """
    if isinstance(picture, str):
        path = _path(directory, f"{name}.txt")
        path.write_text(picture, encoding="utf-8")
        return path
    if isinstance(picture, Sound):
        return _save_sound(_path(directory, f"{name}.wav"), picture)
    if (
        picture.dtype != np.uint8
        or picture.ndim not in (3, 4)
        or picture.shape[-1] != 3
    ):
        raise ValueError(f"not an image: {picture.dtype}{list(picture.shape)}")
    if picture.ndim == 3:
        path = _path(directory, f"{name}.png")
        Image.fromarray(picture).save(path)
        return path
    path = _path(directory, f"{name}.gif")
    first, *rest = [Image.fromarray(frame) for frame in picture]
    first.save(
        path,
        save_all=True,
        append_images=rest,
        duration=round(1000 / FRAMES_PER_SECOND),
        loop=0,
    )
    return path


def _path(directory, name):
    directory.mkdir(parents=True, exist_ok=True)
    return directory / name


def _save_sound(path, sound):
    """Writes one channel of 16-bit samples."""
    loudness = np.clip(sound.samples, -1, 1)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, sound.rate, 0, "NONE", None))
        file.writeframes(np.int16(np.round(32767 * loudness)).astype("<i2").tobytes())
    return path


def page(lines: Sequence[str]) -> np.ndarray:
    """Draws lines of text in a monospaced font: [height, width, 3] uint8."""
    from matplotlib import font_manager  # it ships the font

    font = ImageFont.truetype(font_manager.findfont("monospace"), 16)
    width = max(font.getlength(line) for line in lines)
    paper = Image.new("RGB", (24 + math.ceil(width), 24 + 22 * len(lines)), "white")
    draw = ImageDraw.Draw(paper)
    for number, line in enumerate(lines):
        draw.text((12, 12 + 22 * number), line, "black", font)
    return np.asarray(paper)


def join(folder: pathlib.Path) -> pathlib.Path:
    """Joins a folder's PNG files, in the order of their names, into FOLDER.gif."""
    paths = sorted(folder.glob("*.png"))
    frames = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    return save(folder.parent, folder.name, frames)


def sheet(
    images: np.ndarray, columns: int, height: int = 56, rim: int = 1
) -> np.ndarray:
    """Tiles images edge to edge.

    Args:
      images: [number, height, width, 1 or 3] uint8.
      columns: The number of images in a row.
      height: The least height of each image, in pixels. Images are enlarged by a whole
        number.
      rim: White pixels around each image.

    Returns:
      [height, width, 3] uint8. Missing images of the last row are white.
    """
    times = -(-height // images.shape[1])
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    images = np.pad(
        images, ((0, 0), (rim, rim), (rim, rim), (0, 0)), constant_values=255
    )
    blank = np.full((-len(images) % columns, *images.shape[1:]), 255, np.uint8)
    tiles = np.concatenate([images, blank])
    rows, (high, wide) = len(tiles) // columns, tiles.shape[1:3]
    tiles = tiles.reshape(rows, columns, high, wide, 3).swapaxes(1, 2)
    return tiles.reshape(rows * high, columns * wide, 3)


# matplotlib's colour cycle has ten colours.
_COLOURS = 10
_STYLES = "-", "--", ":"


def curves(
    panels: dict[str, dict[str, tuple[list, list]]], xlabel: str, columns: int = 0
) -> np.ndarray:
    """Draws line plots side by side.

    Args:
      panels: {title: {line's name: (x, y)}}. If y is [points, runs], the line is the
        median and a band reaches from the minimum to the maximum.
      xlabel: The label under every panel.
      columns: The number of panels in a row; 0 puts all in one row.

    Returns:
      [height, width, 3] uint8.
    """
    columns = min(columns, len(panels)) or len(panels)
    rows = -(-len(panels) // columns)
    canvas = _canvas(5 * columns, 3.5 * rows)
    axes = canvas.figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.axis("off")
    for axis, (title, lines) in zip(axes, panels.items(), strict=False):
        for number, (name, (x, y)) in enumerate(lines.items()):
            runs = np.asarray(y).reshape(len(x), -1)
            middle = np.median(runs, axis=1)
            marker = "." if len(x) < 30 else None
            style = _STYLES[number // _COLOURS % len(_STYLES)]
            (line,) = axis.plot(x, middle, style, label=name, marker=marker)
            if runs.shape[1] > 1:
                band = runs.min(axis=1), runs.max(axis=1)
                axis.fill_between(x, *band, color=line.get_color(), alpha=0.2, lw=0)
        axis.set(title=title, xlabel=xlabel)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        if len(lines) > 4:  # a legend inside would cover the lines
            size = "medium" if len(lines) <= _COLOURS else "x-small"
            axis.legend(
                frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=size
            )
        elif len(lines) > 1:
            axis.legend(frameon=False)
    return _pixels(canvas)


def confusion(counts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draws a confusion matrix.

    Args:
      counts: [classes, classes] integers, by true class and predicted class.
      names: The classes' names.

    Returns:
      [height, width, 3] uint8. Only mistakes are shaded.
    """
    classes = len(names)
    canvas = _canvas(1.5 + 0.55 * classes, 1 + 0.5 * classes)
    axis = canvas.figure.subplots()
    mistakes = counts * (1 - np.eye(classes, dtype=int))
    axis.imshow(mistakes, cmap="Oranges", vmax=max(1, 1.5 * mistakes.max()))
    for (row, column), count in np.ndenumerate(counts):
        if count:
            weight = "bold" if row == column else "normal"
            axis.text(column, row, count, ha="center", va="center", weight=weight)
    axis.set_xticks(
        range(classes), names, rotation=45 if max(map(len, names)) > 2 else 0
    )
    axis.set_yticks(range(classes), names)
    axis.set(xlabel="predicted", ylabel="true")
    return _pixels(canvas)


def grid(images: np.ndarray, titles: Sequence[str], columns: int = 8) -> np.ndarray:
    """Draws images in a grid, each under its title.

    Args:
      images: [number, height, width, 1 or 3] uint8.
      titles: One title per image.
      columns: The number of images in a row.

    Returns:
      [height, width, 3] uint8.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    canvas = _canvas(1.3 * columns, 1.45 * rows)
    axes = canvas.figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, title in zip(axes, images, titles, strict=False):
        axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=8)
    return _pixels(canvas)


def scatter(
    points: np.ndarray, labels: np.ndarray, names: Sequence[str], side: int
) -> np.ndarray:
    """Draws points of the plane, coloured by class.

    Args:
      points: [number, 2].
      labels: [number] integers.
      names: The classes' names.
      side: The image's height and width in pixels.

    Returns:
      [side, side, 3] uint8.
    """
    canvas = _canvas(side / 100, side / 100)
    axis = canvas.figure.subplots()
    for label, name in enumerate(names):
        members = points[labels == label]
        colour = f"C{label}" if len(names) <= 10 else None
        axis.scatter(*members.T, s=2, color=colour, label=name)
    axis.legend(markerscale=5, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axis.set_aspect("equal", "datalim")
    return _pixels(canvas)


def resized(picture: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Scales an image, [height, width, 3] uint8, to another height and width."""
    height, width = shape
    image = Image.fromarray(picture).resize((width, height), Image.LANCZOS)
    return np.asarray(image)


def beside(pictures: Sequence[np.ndarray], rim: int = 8) -> np.ndarray:
    """Joins images of one height from left to right: [height, width, 3] uint8."""
    between = np.full((len(pictures[0]), rim, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (between, picture)]
    return np.concatenate(parts[1:], axis=1)


def filters(kernels: np.ndarray, most: int = 64, zoom: int = 64) -> np.ndarray:
    """Draws a layer's filters.

    Grey means 0, white the filter's largest magnitude, black its negative.

    Args:
      kernels: [height, width, channels, number] float32. Three channels are shown as
        colours; otherwise the first channel is shown.
      most: The largest number of filters to show.
      zoom: The least height of each filter, in pixels.

    Returns:
      [height, width, 3] uint8.
    """
    shown = np.moveaxis(kernels[..., :most], -1, 0)
    shown = shown if shown.shape[-1] == 3 else shown[..., :1].repeat(3, axis=-1)
    most_weight = np.abs(shown).max(axis=(1, 2, 3), keepdims=True) + 1e-12
    pixels = np.uint8(np.round(127.5 + 127.5 * shown / most_weight))
    return sheet(pixels, min(8, len(pixels)), zoom, rim=2)


def _canvas(width, height):
    """Makes a matplotlib canvas of a size in inches. The import takes half a second."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    return FigureCanvasAgg(figure)


def _pixels(canvas):
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
