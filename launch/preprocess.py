"""Pictures from people, made what a network was trained on."""

import numpy as np
from PIL import Image, ImageOps

_SMALLEST = 0.02  # of a picture's range of greys: less is an empty picture


def fit(picture: Image.Image, examples: np.ndarray) -> np.ndarray:
    """Makes a picture what a data set's images are.

    Args:
      picture: Of any size, grey or RGB.
      examples: [number, size, size, 1 or 3] uint8, images of the data set.

    Returns:
      [size, size, 1 or 3] uint8.
    """
    size = examples.shape[1]
    if examples.shape[-1] == 3:
        square = ImageOps.fit(picture.convert("RGB"), (size, size), Image.LANCZOS)
        return np.asarray(square)
    grey = np.asarray(picture.convert("L"), np.float32)
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    grey = 255 - grey if np.median(rim) > 127 else grey
    grey = grey - grey.min()
    if grey.max() < 255 * _SMALLEST:
        return np.zeros((size, size, 1), np.uint8)
    drawn = np.uint8(np.round(grey * (255 / grey.max())))
    ink = _box(drawn > 64)
    drawn = drawn[ink]
    # As large as what is drawn on the examples, typically.
    boxes = [_box(image[..., 0] > 64) for image in examples[:200]]
    typical = np.median([max(b.stop - b.start for b in box) for box in boxes])
    scale = typical / max(drawn.shape)
    shape = [max(1, round(side * scale)) for side in drawn.shape[::-1]]
    small = np.asarray(Image.fromarray(drawn).resize(shape, Image.LANCZOS))
    out = np.zeros((size, size, 1), np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1], 0] = small
    return out


def _box(mask):
    """The slices, down and across, that hold all that is set."""
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    return tuple(
        slice(span[0], span[-1] + 1) if len(span) else slice(0, 1) for span in spans
    )
