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
    with pytest.raises(ValueError, match="not an image"):
        figures.save(tmp_path, "wrong", wrong)


def test_pages_of_one_movie_have_one_size():
    low, tall = figures.page(["noon", "area"]), figures.page(["lift", "gulp"])
    assert low.shape == tall.shape and not np.array_equal(low, tall)
    assert figures.page(["wider", "area"]).shape[1] > low.shape[1]
    for page in (low, tall):
        assert (page.min(axis=(1, 2)) < 128).sum() > 12
        for rim in (page[:8], page[-8:], page[:, :8], page[:, -8:]):
            assert (rim == 255).all()


def test_curves():
    picture = figures.curves(
        {"a": {"x": ([1, 2], [3, 4])}, "b": {"y": ([1], [2])}}, "s"
    )
    assert picture.shape == (350, 1000, 3) and picture.dtype == np.uint8
    assert picture.std() > 0


def test_the_eleventh_curve_is_no_second_first():
    lines = {str(number): ([0, 1], [number, number]) for number in range(11)}
    picture = figures.curves({"a": lines}, "s")
    blue = (picture == (31, 119, 180)).all(axis=-1).sum(axis=1)  # in each row
    top, bottom = blue[:175].max(), blue[175:].max()
    assert 0 < top < 0.8 * bottom, "dashes"


def test_confusion_grid_and_filters_are_pictures():
    counts = np.diag([5, 6, 7])
    counts[0, 2] = 3
    for picture in (
        figures.confusion(counts, ["a", "b", "longer"]),
        figures.grid(np.zeros((5, 8, 8, 1), np.uint8), ["x"] * 5, columns=3),
        figures.grid(np.zeros((1, 8, 8, 3), np.uint8), ["x"]),
    ):
        assert picture.dtype == np.uint8 and picture.shape[-1] == 3
        assert len(np.unique(picture)) > 10, "something is drawn"


def test_filters_keep_their_sign():
    kernels = np.zeros((2, 2, 1, 3), np.float32)
    kernels[0, 0, 0, 0], kernels[1, 1, 0, 1] = 2.0, -0.5
    picture = figures.filters(kernels, zoom=2)
    assert picture.shape == (6, 18, 3), "three of 2x2, in rims of two"
    inner = picture[2:4, :, 0]
    assert inner[:, 2:4].tolist() == [[255, 128], [128, 128]]
    assert inner[:, 8:10].tolist() == [[128, 128], [128, 0]]
    assert inner[:, 14:16].tolist() == [[128, 128], [128, 128]]


def test_bands_stand_around_the_median():
    runs = np.array([[0.0, 10.0, 2.0], [1.0, 3.0, 9.0]])
    plain = figures.curves({"t": {"a": ([0, 1], np.median(runs, axis=1))}}, "step")
    banded = figures.curves({"t": {"a": ([0, 1], runs)}}, "step")
    assert plain.shape == banded.shape and not np.array_equal(plain, banded)
    rows = figures.curves({str(n): {"a": ([0, 1], [0, 1])} for n in range(4)}, "x", 3)
    assert rows.shape[0] == 2 * plain.shape[0] and rows.shape[1] == 3 * plain.shape[1]
