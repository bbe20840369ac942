"""Overlapping tiles of a picture, which bound the memory of its features.

Every feature belongs to one tile, which contains the feature's whole receptive field.
"""

from collections.abc import Sequence
import dataclasses
import math

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx.models.receptive_field import ReceptiveField


@dataclasses.dataclass(frozen=True)
class SideTiling:
    """One side of a picture in overlapping tiles of equal length.

    Attributes:
      length: The tiles' length in pixels.
      starts: The first pixel of each tile.
      borders: Tile k owns the features from pixel borders[k], included, to pixel
        borders[k + 1], excluded. Feature i of a layer is at pixel stride * i.
    """

    length: int
    starts: tuple[int, ...]
    borders: tuple[float, ...]

    def owned(self, field: ReceptiveField, number: int) -> np.ndarray:
        """Returns which of the `number` features of each tile the tile owns.

        Returns:
          [tiles, number] float32. 1 for owned features, 0 for the rest.
        """
        pixels = np.add.outer(self.starts, field.stride * np.arange(number))
        first, end = (
            np.reshape(b, (-1, 1)) for b in (self.borders[:-1], self.borders[1:])
        )
        return np.float32((pixels >= first) & (pixels < end))


def tile_side(side: int, fields: Sequence[ReceptiveField], longest: int) -> SideTiling:
    """Lays out the tiles of one side.

    Args:
      side: The picture's height or width in pixels.
      fields: The receptive fields of all required layers.
      longest: The largest length of a tile in pixels; 0 for no limit.

    Raises:
      ValueError: if `longest` is too short for the receptive fields.
    """
    if not longest or side <= longest:
        return SideTiling(side, (0,), (-math.inf, math.inf))
    stride = max(field.stride for field in fields)
    before = max(field.before for field in fields)
    after = max(field.after for field in fields)

    def down(pixels):
        return pixels // stride * stride

    def up(pixels):
        return -down(-pixels)

    # The last tile also begins at a multiple of the stride.
    length = side - up(side - longest)
    hop = down(length - after - up(before))
    if hop < stride:
        least = stride + after + up(before) + stride
        raise ValueError(
            f"tiles of {longest} pixels are too short for the receptive fields; use at "
            f"least {least}"
        )
    starts = (*range(0, side - length, hop), side - length)
    inner = [up(start + before) for start in starts[1:]]
    return SideTiling(length, starts, (-math.inf, *inner, math.inf))


class Tiling:
    """A picture, extended by a mirrored margin, in overlapping tiles.

    Attributes:
      tile_shape: The height and width of a tile.
      corners: [tiles, 2] int64. The upper left pixel of each tile.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        fields: Sequence[ReceptiveField],
        longest: int,
        margin: int,
    ):
        """Lays out tiles.

        Args:
          shape: The picture's height and width.
          fields: The receptive fields of all required layers.
          longest: The largest side of a tile in pixels; 0 for no limit.
          margin: The mirrored pixels around the picture.

        Raises:
          ValueError: if `longest` is too short for the receptive fields.
        """
        self._margin = margin
        self._down, self._across = (
            tile_side(side + 2 * margin, fields, longest) for side in shape
        )
        self.tile_shape = self._down.length, self._across.length
        self.corners = np.stack(
            np.meshgrid(self._down.starts, self._across.starts, indexing="ij"), axis=-1
        ).reshape(-1, 2)

    def owned(self, field: ReceptiveField, shape: tuple[int, int]) -> np.ndarray:
        """Returns which features of a layer each tile owns.

        Args:
          field: The layer's receptive field.
          shape: The height and width of the layer's features of one tile.

        Returns:
          [tiles, height, width] float32. 1 for owned features, 0 for the rest.
        """
        rows = self._down.owned(field, shape[0])
        columns = self._across.owned(field, shape[1])
        return np.einsum("ah,bw->abhw", rows, columns).reshape(-1, *shape)

    def map(self, function, images, *parts):
        """Applies a function to every tile and stacks the results.

        Intermediate results are computed again for the gradient, not stored.

        Args:
          function: (tile of `images`, *a tile's slice of `parts`) -> any pytree.
          images: A pytree of arrays of the picture's height and width.
          parts: Pytrees whose leaves have a leading axis of tiles.
        """

        def apply_to_tile(corner, *parts):
            def crop(image):
                start = (*corner, *[0] * (image.ndim - 2))
                size = (*self.tile_shape, *image.shape[2:])
                return lax.dynamic_slice(image, start, size)

            return function(jax.tree.map(crop, images), *parts)

        def extend(image):
            around = [(self._margin, self._margin)] * 2 + [(0, 0)] * (image.ndim - 2)
            return jnp.pad(image, around, "reflect")

        images = jax.tree.map(extend, images)
        if len(self.corners) == 1:
            first = jax.tree.map(lambda part: part[0], (self.corners, *parts))
            result = apply_to_tile(*first)
            return jax.tree.map(lambda leaf: leaf[None], result)
        # Corners and masks are NumPy arrays; lax.map takes slices of JAX arrays.
        mapped = jax.tree.map(jnp.asarray, (self.corners, *parts))
        return lax.map(jax.checkpoint(lambda part: apply_to_tile(*part)), mapped)
