"""A film of a game shows what happens in it."""

import numpy as np

from dlx.envs import drawing


def test_a_game_of_rocks():
    screens = np.zeros((3, 8, 8), np.int8)
    screens[:, 7, 2], screens[0, 5, 4] = 2, 1
    frames = drawing.film(screens, np.array([0, 1, 0]), num_rocks=10)
    assert frames.shape == (3, 8 * 40 + 36, 320, 3) and frames.dtype == np.uint8

    def pixel(frame, row, column):
        return tuple(frames[frame, 36 + 40 * row + 20, 40 * column + 20])

    night, rock, paddle = pixel(0, 0, 0), pixel(0, 5, 4), pixel(0, 7, 2)
    caught, missed = pixel(1, 7, 2), pixel(2, 7, 2)
    assert len({night, rock, paddle, caught, missed}) == 5
    assert caught[1] > caught[0] and missed[0] > missed[1], "green, and red"
    assert (frames[0, :36] != frames[1, :36]).any(), "score and step are written"
