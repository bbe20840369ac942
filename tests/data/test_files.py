"""Folders as people have them: hidden files, links, copies, classes, odd shapes."""

import shutil

import numpy as np
from PIL import Image
import pytest

from dlx.data import images, sources
from dlx.errors import UserError


def _picture(path, seed, shape=(40, 50, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures."""
    for number in range(12):
        _picture(tmp_path / "photos" / f"p{number:02}.png", number)
    return tmp_path / "photos"


def _load(folder, split):
    return sources.load(f"folder:{folder}", split, size=8)


def _sizes(folder):
    return tuple(len(_load(folder, split).labels) for split in ("train", "test"))


def _mac(folder):
    (folder / "._p01.png").write_bytes(bytes.fromhex("00051607") + bytes(90))


def _notebook(folder):
    hidden = folder / ".ipynb_checkpoints"
    hidden.mkdir()
    shutil.copy(folder / "p00.png", hidden / "p00-checkpoint.png")


def _copy(folder):
    shutil.copy(folder / "p00.png", folder / "p00 (copy).png")


def _folder_called_picture(folder):
    (folder / "album.jpg").mkdir()


def _link(folder):
    """All pictures lie behind a link, which also leads back to the folder."""
    other = folder.parent / "other"
    shutil.move(folder, other)
    folder.mkdir()
    (folder / "more").symlink_to(other)
    (other / "back").symlink_to(folder)


def _dangling(folder):
    (folder / "gone.png").symlink_to(folder / "nowhere.png")


@pytest.mark.parametrize(
    "change", [_mac, _notebook, _copy, _folder_called_picture, _link, _dangling]
)
def test_what_is_no_picture_or_a_copy_is_skipped(folder, change):
    plain = _sizes(folder)
    assert plain == (10, 2)
    change(folder)
    assert _sizes(folder) == plain


def test_no_picture_is_in_both_splits(folder):
    _copy(folder)
    train, test = (_load(folder, split).images for split in ("train", "test"))
    assert not {x.tobytes() for x in train} & {x.tobytes() for x in test}


@pytest.mark.parametrize("shape", [(60, 1, 3), (1, 60, 3), (60, 1), (1, 1)])
def test_thin_pictures_are_scaled(folder, shape):
    _picture(folder / "thin.png", 99, shape)
    assert sum(_sizes(folder)) == 13


def test_subfolders_are_classes(tmp_path):
    for number in range(20):
        _picture(
            tmp_path / ("dogs" if number % 4 else "cats") / f"{number:02}.png", number
        )
    train, test = (_load(tmp_path, split) for split in ("train", "test"))
    assert train.names == ["cats", "dogs"]
    assert np.bincount(train.labels).tolist() == [4, 14]
    assert set(test.labels) <= {0, 1} and len(test.labels) == 2
    _picture(tmp_path / "stray.png", 99)
    assert _load(tmp_path, "train").names == ["any"], "it is of no class"


def test_folders_of_splits(tmp_path):
    for number in range(12):
        part = ("train", "train", "test", "val")[number % 4]
        kind = "cats" if number % 3 else "dogs"
        _picture(tmp_path / part / kind / f"{number}.png", number)
    assert _sizes(tmp_path) == (6, 3)
    name = f"folder:{tmp_path}"
    own = sources.load(name, "validation", size=8, validation=2)
    assert len(own.labels) == 3 and own.names == ["cats", "dogs"]


def test_a_folder_needs_pictures_and_a_size(tmp_path):
    with pytest.raises(UserError, match="has fewer than two images"):
        sources.load(f"folder:{tmp_path}", "train", size=8)
    _picture(tmp_path / "a.png", 0)
    _picture(tmp_path / "b.png", 1)
    with pytest.raises(UserError, match=r"config.image_size is missing"):
        sources.load(f"folder:{tmp_path}", "train")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([0, 32768, 65535], np.uint16), [0, 128, 255]),
        (np.array([0, 0.5, 1], np.float32), [0, 128, 255]),
        (np.array([0, 7, 255], np.int64), [0, 7, 255]),
        (np.array([False, True]), [0, 255]),
    ],
)
def test_pixels_of_any_depth_become_bytes(pixels, expected):
    found = images.to_bytes(pixels.reshape(1, -1, 1))
    assert found.dtype == np.uint8 and found.ravel().tolist() == expected


@pytest.mark.parametrize(
    "pixels", [[-0.1, 1.0], [0.0, 255.0], [0, 256], [-1, 3], [np.nan, 0.0]]
)
def test_pixels_out_of_range_are_refused(pixels):
    with pytest.raises(UserError, match=r"pixels outside 0 \.\.\."):
        images.to_bytes(np.reshape(pixels, (1, -1, 1)))
