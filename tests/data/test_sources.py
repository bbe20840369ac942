"""Digits are fixed; other data sets come from TFDS, or a line says how to get them."""

import pathlib
import sys

import numpy as np
import pytest

from dlx.data import sources
from dlx.errors import UserError

REAL = pathlib.Path("../shared/data")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_digits_are_split_for_good():
    train, test = (sources.load("digits", split) for split in sources.SPLITS)
    assert (len(train.labels), len(test.labels)) == (1437, 360)
    assert train.images.shape[1:] == (8, 8, 1) and train.images.dtype == np.uint8
    assert train.images.min() == 0 and train.images.max() == 255
    assert np.bincount(np.append(train.labels, test.labels)).sum() == 1797
    assert (
        test.labels[:8].tolist() == sources.load("digits", "test").labels[:8].tolist()
    )
    counts = np.bincount(test.labels)
    assert len(counts) == 10 and counts.min() > 20, "every digit in the test split"
    examples = sources.Examples("digits", "test")
    assert len(examples) == 360
    np.testing.assert_array_equal(examples[5]["images"], test.images[5])
    assert examples[5]["labels"] == test.labels[5]


def test_an_unknown_name_is_a_line():
    with pytest.raises(UserError, match=r"config.dataset: .*nosuchset"):
        sources.load("nosuchset", "train")


def test_no_network_and_no_data_names_three_ways_out(tmp_path, monkeypatch):
    # The child that prepares cannot reach anything: as on a machine off the network.
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError) as caught:
        sources.load("mnist", "train", data_dir=str(tmp_path))
    for way in ("--config.data_dir", "--config.manual_dir", "--config.dataset=digits"):
        assert way in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [("mnist", (28, 28, 1), (60000, 10000)), ("cifar10", (32, 32, 3), (50000, 10000))],
)
def test_real_data(name, shape, counts, tmp_path):
    if not (REAL / "tfds" / name).exists():
        pytest.skip(f"{REAL} is not there")
    for split, count in zip(sources.SPLITS, counts, strict=True):
        first = sources.load(name, split, str(REAL / "tfds"))
        assert first.images.shape == (count, *shape) and len(first.names) == 10
        assert list((tmp_path / "cache" / "dlx" / "data").glob(f"{name}-*{split}*"))
        again = sources.load(name, split, str(REAL / "tfds"))
        np.testing.assert_array_equal(first.images, again.images)
        np.testing.assert_array_equal(first.labels, again.labels)
        examples = sources.Examples(name, split, str(REAL / "tfds"))
        np.testing.assert_array_equal(examples[7]["images"], first.images[7])
    assert "tensorflow" not in sys.modules


@pytest.mark.real_data
def test_mnist_is_prepared_from_files_fetched_by_hand(tmp_path):
    if not (REAL / "mnist_raw").exists():
        pytest.skip(f"{REAL} is not there")
    images = sources.load("mnist", "test", str(tmp_path), str(REAL / "mnist_raw"))
    assert images.labels[:5].tolist() != [] and images.images.shape == (
        10000,
        28,
        28,
        1,
    )
