"""Pictures from people's files."""

import pathlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dlx import paths
from dlx.errors import UserError

BUNDLED = "skimage:"  # before the name of one of scikit-image's own photographs


def read(name: str | pathlib.Path) -> Image.Image:
    """The picture, upright, on white where it is transparent, in grey or RGB.

    Args:
      name: A file's; or skimage:NAME, a photograph that comes with scikit-image.

    Raises:
      UserError: where there is none.
    """
    if str(name).startswith(BUNDLED):
        return _bundled(str(name).removeprefix(BUNDLED))
    if isinstance(name, str | pathlib.Path):  # or an open file
        name = paths.path(name)
    try:
        with Image.open(name) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                paper = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(paper, picture)
            return picture.convert("L" if picture.mode in ("1", "L", "I;16") else "RGB")
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture") from None
    except (OSError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {name}: {reason}") from None


def _bundled(name):
    from skimage import data

    folder = pathlib.Path(data.__file__).parent
    found = [path for path in folder.glob(f"{name}.*") if path.suffix != ".npz"]
    if not found:
        raise UserError(f"scikit-image has no photograph {name!r}")
    return read(found[0])


def resize(picture: Image.Image, shape: tuple[int, int]) -> np.ndarray:
    """The picture at a height and a width, [height, width, 3] float32 in [0, 1]."""
    picture = picture.convert("RGB").resize(shape[::-1], Image.LANCZOS)
    return np.asarray(picture, np.float32) / 255


def shape_at(picture: Image.Image, longest: float) -> tuple[int, int]:
    """Height and width, in proportion, with so long a longer side; at least 1."""
    times = longest / max(picture.size)
    width, height = (max(1, round(side * times)) for side in picture.size)
    return height, width
