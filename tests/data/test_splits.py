"""Train, validation and test: disjoint, fixed, and which of them is evaluated."""

import ml_collections
import numpy as np
import pytest

from dlx.data import batches, sources, splits
from dlx.errors import UserError


def _config(**settings):
    return ml_collections.ConfigDict(
        {
            "dataset": "digits", "data_dir": None, "manual_dir": None, "seed": 0,
            "streamed": False, "batch_size": 8, **settings,
        }
    )  # fmt: skip


def _set(images):
    return {image.tobytes() for image in images}


def test_held_out_examples_leave_the_training_split_and_nothing_else():
    whole, test = (sources.load("digits", split).images for split in ("train", "test"))
    parts = {s: sources.load("digits", s, validation=100).images for s in splits.SPLITS}
    assert len(parts["validation"]) == 100
    assert not _set(parts["train"]) & _set(parts["validation"])
    assert _set(parts["train"]) | _set(parts["validation"]) == _set(whole)
    np.testing.assert_array_equal(parts["test"], test)
    opened, rows = sources.whole("digits", "validation", validation=100)
    np.testing.assert_array_equal(opened.images[rows], parts["validation"])


def test_held_out_examples_are_of_all_classes_of_a_sorted_set():
    labels = np.repeat(np.arange(10), 50)
    counts = np.bincount(labels[splits.part("validation", 500, 40)])
    assert counts.tolist() == [4] * 10
    assert len(splits.part("train", 500, 0)) == 500


def test_triples_for_validation_are_of_held_out_images():
    held = _set(sources.load("digits", "validation", validation=30).images)
    triples = sources.load("stacked_digits", "validation", validation=30).images
    for image in triples[:50]:
        assert {image[..., c : c + 1].tobytes() for c in range(3)} <= held


@pytest.mark.parametrize("held_out", [1437, 2000])
def test_some_examples_must_be_left(held_out):
    with pytest.raises(
        UserError, match=f"config.validation={held_out} must leave examples"
    ):
        sources.load("digits", "train", validation=held_out)


def test_a_run_evaluates_validation_if_it_has_it_and_test_on_request():
    assert splits.evaluated(_config()) == "test" and not splits.selects(_config())
    held = _config(validation=50)
    assert splits.evaluated(held) == "validation" and splits.selects(held)
    assert len(batches.evaluated(held).labels) == 50
    held.eval_split = "test"
    assert len(batches.evaluated(held).labels) == 360
    with pytest.raises(
        UserError, match=r"has no validation split, because config.validation=0"
    ):
        splits.evaluated(_config(eval_split="validation"))


@pytest.mark.parametrize("streamed", [False, True])
def test_the_image_size_holds_in_every_split(streamed):
    config = _config(image_size=4, validation=20, streamed=streamed)
    training, sample = batches.of_images(config)
    assert sample.shape[1:] == (4, 4, 1)
    assert training.sample("images").shape[1:] == (4, 4, 1)
    for split in ("validation", "test"):
        config.eval_split = split
        assert batches.evaluated(config).images.shape[1:] == (4, 4, 1)


def test_a_users_own_data_by_import_path(tmp_path, monkeypatch):
    (tmp_path / "my_data.py").write_text(
        "import numpy as np\n"
        "from dlx.data.sources import Images\n"
        "def squares(split):\n"
        "    number = {'train': 30, 'test': 9}[split]\n"
        "    labels = np.arange(number, dtype=np.int32) % 3\n"
        "    pixels = np.ones((1, 6, 6, 1), int) * labels[:, None, None, None]\n"
        "    return Images(np.uint8(pixels), labels, ['a', 'b', 'c'])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    train = sources.load("my_data.squares", "train", validation=6)
    assert train.images.shape == (24, 6, 6, 1) and train.names == ["a", "b", "c"]
    assert len(sources.load("my_data.squares", "test").labels) == 9
    with pytest.raises(UserError, match=r"my_data.circles cannot be imported"):
        sources.load("my_data.circles", "train")


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 1], [], "has 0 classes; a classifier needs at least 2"),
        ([[0, 1], [1, 0]], ["a", "b"], "labels of shape .2,.; a classifier needs one"),
        ([-1, 1, -1], ["a", "b"], "2 of 3 examples without a label"),
        ([0, 2], ["a", "b"], "1 of 2 examples without a label"),
    ],
)
def test_a_classifier_needs_class_labels(labels, names, message):
    with pytest.raises(UserError, match=message):
        sources.require_classes("x", np.array(labels), names)
