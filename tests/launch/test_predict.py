"""A user's picture in a data set's format, and its classification."""

import subprocess
import sys

import jax
import numpy as np
from PIL import Image, ImageDraw
import pytest

from dlx import tasks
from dlx.data import images, sources
from dlx.errors import UserError
from dlx.runtime import loop
from launch import preprocess

DIGITS = sources.load("digits", "test")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    from configs import mlp_mnist

    config = mlp_mnist.get_config()
    config.dataset = "digits"
    config.num_steps = config.eval_steps = config.checkpoint_steps = 402
    folder = tmp_path_factory.mktemp("run")
    with jax.debug_key_reuse(False):
        loop.train(tasks.make(config), config, folder, name="digits")
    return folder


def _predict(*arguments):
    program = [sys.executable, "-m", "launch.predict", *map(str, arguments)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_test_images_as_files_get_their_labels(workdir, tmp_path):
    paths = []
    for number in range(20):
        image = 255 - DIGITS.images[number, ..., 0]  # dark on light, and larger
        paths.append(tmp_path / f"{number}.png")
        big = Image.fromarray(image).resize((80, 80), Image.NEAREST)
        big.convert("RGB").save(paths[-1])
    code, out, err = _predict(f"--workdir={workdir}", "--top=2", *paths)
    assert code == 0, err
    lines = out.splitlines()
    right = [
        line.startswith(f"{path}: {DIGITS.names[label]} ")
        for line, path, label in zip(lines, paths, DIGITS.labels, strict=False)
    ]
    assert len(lines) == 20 and sum(right) >= 16
    assert all(line.count("%") == 2 for line in lines)


def test_what_is_no_picture_is_a_line(workdir, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    for path, words in ((text, "is not an image"), (tmp_path / "no", "cannot read")):
        code, _, err = _predict(f"--workdir={workdir}", path)
        assert code == 2 and err.count("\n") == 1 and words in err
    code, _, err = _predict(f"--workdir={workdir}")
    assert code == 2 and err == "predict: missing file arguments\n"


def _seven(paper, ink, mode="RGB", size=(300, 200)):
    picture = Image.new(mode, size, paper)
    draw = ImageDraw.Draw(picture)
    draw.line([(40, 60), (90, 60), (60, 150)], ink, width=12)
    return picture


@pytest.mark.parametrize(
    ("paper", "ink", "mode"),
    [
        ("white", "black", "RGB"),
        ("black", "white", "RGB"),
        (200, 40, "L"),
        ((0, 0, 0, 0), (0, 0, 0, 255), "RGBA"),
        (1, 0, "1"),
    ],
)
def test_however_it_is_drawn_it_is_the_same_picture(paper, ink, mode, tmp_path):
    path = tmp_path / "seven.png"
    _seven(paper, ink, mode).save(path)
    fitted = preprocess.to_dataset_format(images.read(path), DIGITS.images)
    _seven("white", "black").save(path)
    expected = preprocess.to_dataset_format(images.read(path), DIGITS.images)
    assert fitted.shape == (8, 8, 1) and fitted.dtype == np.uint8
    assert np.abs(fitted.astype(int) - expected).mean() < 4
    assert fitted.max() > 200 and fitted[:, 0].max() < 128


def test_a_sideways_photograph_is_turned(tmp_path):
    path = tmp_path / "turned.jpg"
    picture = _seven("white", "black")
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
    picture.transpose(Image.ROTATE_90).save(path, exif=exif, quality=95)
    turned = preprocess.to_dataset_format(images.read(path), DIGITS.images).astype(int)
    expected = preprocess.to_dataset_format(picture, DIGITS.images)
    assert np.abs(turned - expected).mean() < 8


def test_odd_pictures():
    clear = Image.new("RGBA", (50, 50), (255, 255, 255, 0))
    for nothing in Image.new("RGB", (1, 1), "white"), clear.convert("L"):
        with pytest.raises(UserError, match=r"7.png: nothing is drawn on it"):
            preprocess.named("7.png", nothing, DIGITS.images)
    wide = preprocess.to_dataset_format(
        _seven("white", "black", size=(4000, 200)), DIGITS.images
    )
    assert wide.any()
    colour = np.zeros((5, 32, 32, 3), np.uint8)
    photo = preprocess.to_dataset_format(Image.new("L", (50, 20), 128), colour)
    assert photo.shape == (32, 32, 3) and (photo == 128).all()


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        images.read(tmp_path)
