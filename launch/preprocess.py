"""Converts a user's picture to a data set's format."""

import numpy as np
from PIL import Image, ImageOps

from dlx.errors import UserError

_LEAST_CONTRAST = 0.02  # of the grey range; a picture with less is empty
_INK = 64  # a grey value above this is part of the drawing


def to_dataset_format(picture: Image.Image, examples: np.ndarray) -> np.ndarray:
    """Converts a picture to the size, channels and framing of a data set's images.

    A picture for a data set of grey images is inverted if its border is light, cropped
    to the drawing, scaled to the data set's typical drawing and centred.

    Args:
      picture: A grey or RGB picture of any size.
      examples: [number, size, size, 1 or 3] uint8. Images of the data set.

    Returns:
      [size, size, 1 or 3] uint8.

    Raises:
      UserError: if nothing is drawn on a picture for a data set of grey images.
    """
    size = examples.shape[1]
    if examples.shape[-1] == 3:
        square = ImageOps.fit(picture.convert("RGB"), (size, size), Image.LANCZOS)
        return np.asarray(square)
    drawing = _light_on_dark(np.asarray(picture.convert("L"), np.float32))
    if drawing is None:
        raise UserError("nothing is drawn on it")
    drawing = drawing[_bounding_box(drawing > _INK)]
    scale = _typical_extent(examples) / max(drawing.shape)
    shape = [max(1, round(side * scale)) for side in drawing.shape[::-1]]
    small = np.asarray(Image.fromarray(drawing).resize(shape, Image.LANCZOS))
    image = np.zeros((size, size, 1), np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1], 0] = small
    return image


def named(name: str, picture: Image.Image, examples: np.ndarray) -> np.ndarray:
    """Converts like `to_dataset_format`; an error begins with the picture's name."""
    try:
        return to_dataset_format(picture, examples)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _light_on_dark(grey):
    """Scales a [height, width] picture to 0 ... 255, uint8; None if it is empty."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    grey = 255 - grey if np.median(border) > 127 else grey
    grey = grey - grey.min()
    if grey.max() < 255 * _LEAST_CONTRAST:
        return None
    return np.uint8(np.round(grey * (255 / grey.max())))


def _typical_extent(examples):
    """The median of the longer side of the examples' drawings, in pixels."""
    boxes = [_bounding_box(image[..., 0] > _INK) for image in examples[:200]]
    return np.median([max(b.stop - b.start for b in box) for box in boxes])


def _bounding_box(mask):
    """The slices, down and across, of the smallest box that holds the mask."""
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    return tuple(
        slice(span[0], span[-1] + 1) if len(span) else slice(0, 1) for span in spans
    )
