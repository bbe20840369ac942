"""Data sets: digits, stacked digits, and TFDS with its errors and its cache."""

import pathlib
import sys
import types

import numpy as np
import pytest

from dlx.data import decoded, sources, tfds
from dlx.errors import UserError

REAL = pathlib.Path("../shared/data")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_split_of_digits_is_fixed():
    train, test = (sources.load("digits", split) for split in ("train", "test"))
    assert (len(train.labels), len(test.labels)) == (1437, 360)
    assert train.images.shape[1:] == (8, 8, 1) and train.images.dtype == np.uint8
    assert train.images.min() == 0 and train.images.max() == 255
    assert np.bincount(np.append(train.labels, test.labels)).sum() == 1797
    assert (
        test.labels[:8].tolist() == sources.load("digits", "test").labels[:8].tolist()
    )
    counts = np.bincount(test.labels)
    assert len(counts) == 10 and counts.min() > 20, "every digit in the test split"


def test_stacked_images_are_three_with_a_label_of_three():
    stacked = sources.load("stacked_digits", "train")
    digits = sources.load("digits", "train")
    assert stacked.images.shape == (128_000, 8, 8, 3)
    assert stacked.images.dtype == np.uint8 and stacked.labels.dtype == np.int32
    assert len(np.unique(stacked.labels)) == len(stacked.names) == 1000
    known = {
        image.tobytes(): label
        for image, label in zip(digits.images, digits.labels, strict=True)
    }
    for image, label in zip(stacked.images[:50], stacked.labels[:50], strict=True):
        three = [known[image[..., c].tobytes()] for c in range(3)]
        assert stacked.names[label] == "-".join(map(str, three))
    again = sources.load("stacked_digits", "train")
    np.testing.assert_array_equal(stacked.images[:9], again.images[:9])
    assert sources.load("stacked_digits", "test").images.shape == (26_000, 8, 8, 3)


def test_colour_images_cannot_be_stacked():
    colour = sources.Images(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, int), ["a"])
    with pytest.raises(UserError, match=r"only grey images .* have 3 channels"):
        sources._stacked(colour, "train")


def test_an_unknown_name_is_a_user_error():
    with pytest.raises(UserError, match=r"config.dataset: .*nosuchset"):
        sources.load("nosuchset", "train")


def test_missing_data_without_a_network_name_three_solutions(tmp_path, monkeypatch):
    # The child process has no network.
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError) as caught:
        sources.load("mnist", "train", data_dir=str(tmp_path))
    for option in (
        "--config.data_dir",
        "--config.manual_dir",
        "--config.dataset=digits",
    ):
        assert option in str(caught.value)
    assert "\n" not in str(caught.value)


def _builder(monkeypatch, path, features, splits):
    """Installs a TFDS builder in memory; splits are {split: examples}."""

    class Source(list):
        def __getitems__(self, indices):
            return [self[i] for i in indices]

    (path / "dataset_info.json").touch()
    info = types.SimpleNamespace(features=features, splits=splits, full_name="x/1.0")
    builder = types.SimpleNamespace(
        name="x", info=info, data_path=path, as_data_source=lambda s: Source(splits[s])
    )
    monkeypatch.setattr(tfds, "prepared", lambda *_: builder)


def test_faces_have_no_classes_and_are_cropped_and_scaled(tmp_path, monkeypatch):
    """celeb_a has 218x178 pixels, and attributes instead of labels."""
    face = np.zeros((218, 178, 3), np.uint8)
    face[20:198] = 200  # the middle square
    faces = [{"image": face, "attributes": {"Smiling": True}}] * 5
    features = {"image": None, "attributes": None}
    _builder(monkeypatch, tmp_path, features, {"train": faces, "test": faces[:2]})
    data = sources.load("celeb_a", "train", size=64)
    assert data.images.shape == (5, 64, 64, 3)
    assert np.all(data.images[:, 2:-2] >= 199) and np.all(data.images > 180)
    assert data.labels.tolist() == [0] * 5 and data.names == ["any"]


def test_a_validation_split_replaces_the_test_split(tmp_path, monkeypatch):
    """imagenet_resized/32x32 has no test split."""
    label = types.SimpleNamespace(names=["tench", "goldfish"])
    fish = [{"image": np.full((32, 32, 3), n, np.uint8), "label": n} for n in (0, 1)]
    splits = {"train": fish * 3, "validation": fish}
    _builder(monkeypatch, tmp_path, {"image": None, "label": label}, splits)
    test = sources.load("imagenet_resized/32x32", "test")
    assert test.labels.tolist() == [0, 1] and test.names == ["tench", "goldfish"]
    assert test.images[1, 0, 0].tolist() == [1, 1, 1]


def test_features_splits_and_sizes_are_checked(tmp_path, monkeypatch):
    _builder(monkeypatch, tmp_path, {"audio": None, "label": None}, {"train": []})
    with pytest.raises(UserError, match="audio, label; it needs an 'image'"):
        sources.load("spoken_digit", "train")
    pictures = [{"image": np.zeros((n, 9, 1), np.uint8)} for n in (8, 9)]
    _builder(monkeypatch, tmp_path, {"image": None}, {"train": pictures})
    with pytest.raises(UserError, match="has no 'test' split; it has: train"):
        sources.load("x", "test")
    with pytest.raises(
        UserError, match=r"different sizes, for example \(8, 9, 1\) and \(9, 9, 1\)"
    ):
        sources.load("x", "train")
    assert sources.load("x", "train", size=4).images.shape == (2, 4, 4, 1)


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "checksums.json"])
@pytest.mark.parametrize("damage", ["empty", "half", "bit", "other", "missing"])
def test_a_damaged_cache_is_decoded_again(tmp_path, monkeypatch, caplog, damage, file):
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(6, 8, 8, 1), dtype=np.uint8)
    examples = [{"image": image} for image in images]
    _builder(monkeypatch, tmp_path, {"image": None}, {"train": examples})
    sources.load("x", "train")
    (folder,) = (
        path
        for path in (tmp_path / "cache" / "dlx" / "data").iterdir()
        if path.is_dir()
    )
    file = folder / file
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    contents = {"empty": b"", "half": content[: len(content) // 2], "bit": content}
    file.unlink()
    if damage == "other":
        np.savez(file.with_suffix(""), other=np.zeros(3))
    elif damage != "missing":
        file.write_bytes(contents[damage])
    decoded._mapped.cache_clear()  # as in another process
    for warnings in 1, 1:  # the second time it is repaired
        again = sources.load("x", "train")
        np.testing.assert_array_equal(again.images, images)
        assert len(caplog.records) == warnings and str(folder) in caplog.text
    assert sources.load("x", "train").images is again.images, "it is read once"


def test_a_data_set_that_has_changed_is_decoded_again(tmp_path, monkeypatch):
    for value in (3, 7):
        examples = [{"image": np.full((4, 4, 1), value, np.uint8)}]
        _builder(monkeypatch, tmp_path, {"image": None}, {"train": examples})
        record = tmp_path / "dataset_info.json"
        record.write_text(str(value) * value)
        assert sources.load("x", "train").images.max() == value


def test_images_are_mapped_and_not_read(tmp_path, monkeypatch):
    examples = [{"image": np.full((4, 4, 1), n, np.uint8)} for n in range(10)]
    _builder(monkeypatch, tmp_path, {"image": None}, {"train": examples, "test": []})
    data, rows = sources.whole("x", "train", validation=5)
    assert isinstance(data.images, np.memmap) and not data.images.flags.writeable
    train = sources.load("x", "train", validation=5)
    np.testing.assert_array_equal(data.images[rows], train.images)
    with pytest.raises(UserError, match="a split has no examples"):
        sources.load("x", "test")


def test_images_that_do_not_fit_on_the_disk_are_refused(tmp_path, monkeypatch):
    examples = [{"image": np.zeros((8, 8, 1), np.uint8)}]
    _builder(monkeypatch, tmp_path, {"image": None}, {"train": examples * 10})
    usage = types.SimpleNamespace(free=600)
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"take 6.4e-07 GB .* where 6e-07 GB are free"):
        sources.load("x", "train")
    folders = [p for p in (tmp_path / "cache" / "dlx" / "data").iterdir() if p.is_dir()]
    assert not folders, "nothing is left behind"


def test_a_cache_that_cannot_be_written_is_a_user_error(tmp_path, monkeypatch):
    (tmp_path / "cache").touch()
    examples = [{"image": np.zeros((8, 8, 1), np.uint8)}]
    _builder(monkeypatch, tmp_path, {"image": None}, {"train": examples})
    with pytest.raises(UserError, match=r"cannot write in the cache .*XDG_CACHE_HOME"):
        sources.load("x", "train")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [("mnist", (28, 28, 1), (60000, 10000)), ("cifar10", (32, 32, 3), (50000, 10000))],
)
def test_real_data(name, shape, counts, tmp_path):
    if not (REAL / "tfds" / name).exists():
        pytest.skip(f"{REAL} is missing")
    for split, count in zip(("train", "test"), counts, strict=True):
        first = sources.load(name, split, str(REAL / "tfds"))
        assert first.images.shape == (count, *shape) and len(first.names) == 10
        assert list((tmp_path / "cache" / "dlx" / "data").glob(f"{name}-*{split}*"))
        again = sources.load(name, split, str(REAL / "tfds"))
        np.testing.assert_array_equal(first.images, again.images)
        np.testing.assert_array_equal(first.labels, again.labels)
    assert "tensorflow" not in sys.modules


def test_a_download_that_does_not_begin_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tfds, "_SILENT_SECONDS", 0.5)
    silent = "import time; print('begins', flush=True); time.sleep(1)"
    writes = (
        "import sys, time; print('begins', flush=True); time.sleep(0.1); "
        "open(sys.argv[1] + '/part', 'w').write('x'); time.sleep(1); sys.exit('no')"
    )
    python = [sys.executable, "-c"]
    assert tfds._run([*python, silent], str(tmp_path)) == (0, "")
    assert "no download has begun within 0.5 s" in capsys.readouterr().err
    assert tfds._run([*python, writes, str(tmp_path)], str(tmp_path)) == (1, "no\n")
    assert capsys.readouterr().err == ""


def test_a_data_dir_that_is_not_there_is_a_line():
    with pytest.raises(UserError, match=r"config.data_dir: there is no folder /nope"):
        tfds.prepared("mnist", "/nope", None)


@pytest.mark.real_data
def test_mnist_is_prepared_from_downloaded_files(tmp_path):
    if not (REAL / "mnist_raw").exists():
        pytest.skip(f"{REAL} is missing")
    images = sources.load("mnist", "test", str(tmp_path), str(REAL / "mnist_raw"))
    assert images.labels[:5].tolist() != [] and images.images.shape == (
        10000,
        28,
        28,
        1,
    )


@pytest.mark.real_data
def test_sounds_are_read_without_tensorflow():
    if not (REAL / "tfds" / "spoken_digit").exists():
        pytest.skip(f"{REAL} is missing")
    where = str(REAL / "tfds")
    train, held, test = (
        sources.load_sounds("spoken_digit", split, 1000, where, None, 100)
        for split in ("train", "validation", "test")
    )
    assert [len(x.labels) for x in (train, held, test)] == [2150, 100, 250]
    assert train.samples.std() > 100 and train.rate == 8000
    assert "tensorflow" not in sys.modules
