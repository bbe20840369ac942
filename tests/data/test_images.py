"""Image files: formats, orientation, errors and sizes."""

import ml_collections
import numpy as np
from PIL import Image
import pytest

from dlx.data import batches, images, sources
from dlx.errors import UserError
from dlx.runtime import memory

RED = 220, 20, 20


def _saved(tmp_path, name, picture, **options):
    picture.save(tmp_path / name, **options)
    return images.read(tmp_path / name)


def test_image_formats(tmp_path):
    red = Image.new("RGB", (40, 20), RED)
    for name, picture in [
        ("rgb.png", red),
        ("cmyk.jpg", red.convert("CMYK")),
        ("palette.gif", red.convert("P")),
        ("alpha.png", red.convert("RGBA")),
    ]:
        pixel = _saved(tmp_path, name, picture).convert("RGB").getpixel((5, 5))
        assert np.abs(np.subtract(pixel, RED)).max() < 40, name
    assert _saved(tmp_path, "grey.png", red.convert("L")).mode == "L"
    clear = _saved(tmp_path, "clear.png", Image.new("RGBA", (4, 4), (*RED, 0)))
    assert clear.getpixel((0, 0)) == (255, 255, 255)


def test_the_orientation_of_a_photo_is_applied(tmp_path):
    picture = Image.new("RGB", (40, 20), RED)
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    assert _saved(tmp_path, "turned.jpg", picture, exif=exif).size == (20, 40)


def test_sizes_that_no_picture_has_are_refused():
    picture = Image.new("L", (40, 20))
    assert images.shape_at(picture, images.LARGEST) == (2**13, 2**14)
    with pytest.raises(UserError, match=r"1e.09 pixels is too large"):
        images.shape_at(picture, 1e9)


def test_images_that_do_not_fit_into_memory_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_on_host", lambda: 10**9)
    grey = np.zeros((8, 8, 1), np.uint8)
    assert len(images.fit_all([grey] * 3, 3, 16)) == 3
    assert len(images.fit_all([grey] * 3, 10**9, None)) == 3  # they are there already
    wanted = r"config.image_size=3000: 100 images .* take 5.029 GiB .* 953.7 MiB are"
    with pytest.raises(UserError, match=wanted):
        images.fit_all(iter(()), 100, 3000)
    assert sources.load("digits", "test", size=9).images.shape == (360, 9, 9, 1)
    with pytest.raises(UserError, match=r"config.image_size=3000: 360 images"):
        sources.load("digits", "test", size=3000)
    config = ml_collections.ConfigDict(
        {"dataset": "digits", "data_dir": None, "manual_dir": None, "seed": 0}
        | {"image_size": 3000, "streamed": True, "batch_size": 4}
    )
    with pytest.raises(UserError, match=r"config.image_size=3000: 1437 images"):
        batches.of_images(config)


def test_unreadable_files_are_user_errors(tmp_path):
    (tmp_path / "text.png").write_text("a picture")
    with pytest.raises(UserError, match="is not an image"):
        images.read(tmp_path / "text.png")
    with pytest.raises(UserError, match="No such file"):
        images.read(tmp_path / "none.png")
    with pytest.raises(UserError, match="has no photograph 'dog'"):
        images.read("skimage:dog")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(UserError, match=r"cannot read .*exceeds limit"):
        images.read(tmp_path / "bomb.png")


def test_sizes_keep_the_proportions():
    wide = Image.new("RGB", (20_000, 100), RED)
    assert images.shape_at(wide, 512) == (3, 512)
    assert images.shape_at(wide, 100) == (1, 100)
    assert images.resize(wide, (3, 512)).shape == (3, 512, 3)
    assert images.resize(Image.new("L", (1, 1), 255), (5, 5)).min() == 1
    assert images.read("skimage:chelsea").size == (451, 300)


def test_deep_pictures_keep_their_greys(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    deep = ramp.astype(np.uint16) * 257  # black is 0, white is 65,535
    for name, array in {
        "8.png": ramp,
        "16.png": deep,
        "16.tif": deep,
        "16 big-endian.tif": deep.astype(">u2"),
        "32.tif": deep.astype(np.int32),
        "float to 1.tif": ramp / np.float32(255),
        "float to 255.tif": ramp.astype(np.float32),
    }.items():
        picture = _saved(tmp_path, name, Image.fromarray(array))
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), ramp, err_msg=name)


@pytest.mark.parametrize(
    ("pixel", "why"), [(np.nan, "not finite"), (-3, "below 0"), (1e9, "above 65535")]
)
def test_greys_of_no_known_scale_are_refused(pixel, why, tmp_path):
    with pytest.raises(UserError, match=why):
        _saved(tmp_path, "x.tif", Image.fromarray(np.full((2, 2), pixel, np.float32)))
