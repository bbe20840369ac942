"""Reads, crops and resizes image files."""

from collections.abc import Iterable
import pathlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dlx import paths
from dlx.errors import UserError
from dlx.runtime import memory

LARGEST = 2**14  # pixels of a picture's side
BUNDLED = "skimage:"  # prefix of the name of a photograph in scikit-image


def read(name: str | pathlib.Path) -> Image.Image:
    """Reads an image, upright, in 8-bit grey or RGB. Transparent pixels become white.

    Integers of 16 or 32 bits are 16-bit greys, or 8-bit greys if none is above 255.
    Floats are greys in [0, 1]. If one is above 1 they are greys in 0 ... 255, and if
    one is above 255 in 0 ... 65,535.

    Args:
      name: A file's name, an open file, or skimage:NAME for one of the photographs that
        come with scikit-image.

    Raises:
      UserError: if the file is missing or not an image.
    """
    if str(name).startswith(BUNDLED):
        return _bundled(str(name).removeprefix(BUNDLED))
    if isinstance(name, str | pathlib.Path):
        name = paths.path(name)
    try:
        with Image.open(name) as file:
            picture = _eight_bits(ImageOps.exif_transpose(file))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    except UnidentifiedImageError:
        raise UserError(f"{name} is not an image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {name}: {reason}") from None


def _eight_bits(picture):
    """Converts a picture of deeper greys to 8 bits; Pillow would clip them."""
    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture
    grey = np.asarray(picture, np.float64)
    if not np.isfinite(grey).all():
        raise ValueError("it has pixels that are not finite")
    if grey.min(initial=0) < 0:
        raise ValueError(f"it has pixels below 0, the least is {grey.min():g}")
    scales = (1.0, 255.0, 65_535.0) if picture.mode == "F" else (255.0, 65_535.0)
    most = grey.max(initial=0)
    white = next((scale for scale in scales if most <= scale), None)
    if white is None:
        raise ValueError(f"it has pixels above {scales[-1]:g}, the largest is {most:g}")
    return Image.fromarray(np.uint8(np.round(grey * (255 / white))))


def _bundled(name):
    from skimage import data

    folder = pathlib.Path(data.__file__).parent
    files = [path for path in folder.glob(f"{name}.*") if path.suffix != ".npz"]
    if not files:
        raise UserError(f"scikit-image has no photograph {name!r}")
    return read(files[0])


def resize(picture: Image.Image, shape: tuple[int, int]) -> np.ndarray:
    """Resizes to height and width; returns [height, width, 3] float32 in [0, 1]."""
    picture = picture.convert("RGB").resize(shape[::-1], Image.LANCZOS)
    return np.asarray(picture, np.float32) / 255


def shape_at(picture: Image.Image, longest: float) -> tuple[int, int]:
    """Height and width, at least 1, at which the longer side is `longest` pixels.

    Raises:
      UserError: if that is more than LARGEST.
    """
    if longest > LARGEST:
        raise UserError(
            f"a picture of {longest:g} pixels is too large; the maximum is {LARGEST}"
        )
    times = longest / max(picture.size)
    width, height = (max(1, round(side * times)) for side in picture.size)
    return height, width


def fit(image: np.ndarray, size: int | None) -> np.ndarray:
    """Crops the central square and scales it to `size` pixels, or keeps the image.

    Args:
      image: [height, width, channels], as `to_bytes` takes them.
      size: Height and width of the result. None keeps the image as it is.

    Returns:
      [height, width, channels] uint8.
    """
    image = to_bytes(image)
    if size is None or image.shape[:2] == (size, size):
        return image
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    small = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(size, size, -1)


def fit_all(
    examples: Iterable[np.ndarray], number: int, size: int | None
) -> list[np.ndarray]:
    """Applies `fit` to images that will be stacked.

    Args:
      examples: Images as `fit` takes them, of up to three channels.
      number: How many there are.
      size: See `fit`.

    Raises:
      UserError: if the images at this size, and their stack, do not fit into memory.
    """
    if size is not None:
        memory.require_on_host(
            2 * number * size * size * 3,
            f"config.image_size={size}: {number} images of {size}x{size} pixels take",
        )
    return [fit(image, size) for image in examples]


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Converts pixels to uint8, 0 ... 255.

    Args:
      image: Integers of 8 or 16 bits without a sign; other integers in 0 ... 255; truth
        values; or floats in 0 ... 1.

    Raises:
      UserError: if a pixel is out of its range.
    """
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return np.uint8((image + 128.0) // 257)
    if image.dtype == bool:
        return np.uint8(255 * image)
    most = 1 if np.issubdtype(image.dtype, np.floating) else 255
    if not (image.size and image.min() >= 0 and image.max() <= most):
        raise UserError(
            f"config.dataset has {image.dtype} pixels outside 0 ... {most}; scale them"
        )
    return np.uint8(np.round(image * (255 // most)))
