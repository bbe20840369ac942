"""Tiles of a picture and the features that each owns."""

import numpy as np
import pytest

from dlx.models.receptive_field import ReceptiveField
from dlx.style import tiling


@pytest.mark.parametrize("side", [97, 160, 333])
@pytest.mark.parametrize("longest", [72, 100])
def test_every_feature_is_in_one_tile_that_contains_its_receptive_field(side, longest):
    shallow = ReceptiveField().through(7, stride=2)
    deep = shallow.through(3, stride=2).through(3, padding=1)
    tiles = tiling.tile_side(side, [shallow, deep], longest)
    assert tiles.length <= longest
    for field in (shallow, deep):
        starts = np.array(tiles.starts)
        assert not np.any(starts % field.stride)
        number = (side - field.after - 1) // field.stride + 1
        in_tile = (tiles.length - field.after - 1) // field.stride + 1
        owners = np.zeros(number + 100, int)
        for start, owned in zip(starts, tiles.owned(field, in_tile), strict=True):
            for i in np.flatnonzero(owned):
                pixel = start + field.stride * i
                owners[pixel // field.stride] += 1
                first, last = pixel - field.before, pixel + field.after
                assert first >= start or start == 0
                assert last < start + tiles.length
        assert np.all(owners[:number] == 1) and not owners[number:].any()


def test_a_tile_that_is_too_short_is_an_error():
    with pytest.raises(
        ValueError,
        match=r"tiles of 40 pixels are too short for .*; use at least 6",
    ):
        tiling.tile_side(500, [ReceptiveField(8, 16, 34)], 40)
    assert tiling.tile_side(500, [ReceptiveField(8, 16, 34)], 0).starts == (0,)
