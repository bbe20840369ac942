"""Pictures hold what they are to show."""

import numpy as np
from PIL import Image
import pytest

from dlx import figures


def test_still_and_moving(tmp_path):
    still = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    path = figures.save(tmp_path / "new", "still", still)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), still)
    moving = np.zeros((3, 4, 5, 3), np.uint8)
    moving[1] = 255
    gif = Image.open(figures.save(tmp_path, "moving", moving))
    assert gif.n_frames == 3 and gif.size == (5, 4) and gif.info["loop"] == 0


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros(3, np.uint8)]
)
def test_what_is_no_picture(tmp_path, wrong):
    with pytest.raises(ValueError, match="no picture"):
        figures.save(tmp_path, "wrong", wrong)


def test_a_game_of_rocks():
    screens = np.zeros((3, 8, 8), np.int8)
    screens[:, 7, 2], screens[0, 5, 4] = 2, 1
    frames = figures.rocks(screens, np.array([0, 1, 0]), num_rocks=10)
    assert frames.shape == (3, 8 * 40 + 36, 320, 3) and frames.dtype == np.uint8

    def pixel(frame, row, column):
        return tuple(frames[frame, 36 + 40 * row + 20, 40 * column + 20])

    night, rock, paddle = pixel(0, 0, 0), pixel(0, 5, 4), pixel(0, 7, 2)
    caught, missed = pixel(1, 7, 2), pixel(2, 7, 2)
    assert len({night, rock, paddle, caught, missed}) == 5
    assert caught[1] > caught[0] and missed[0] > missed[1], "green, and red"
    assert (frames[0, :36] != frames[1, :36]).any(), "score and step are written"


def test_curves():
    picture = figures.curves(
        {"a": {"x": ([1, 2], [3, 4])}, "b": {"y": ([1], [2])}}, "s"
    )
    assert picture.shape == (350, 1000, 3) and picture.dtype == np.uint8
    assert picture.std() > 0
