"""SqueezeNet as a classifier of ImageNet's classes."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from dlx.data import sources
from dlx.errors import UserError
from dlx.vision.pretrained import features, imagenet

REAL = pathlib.Path("../shared/data")
NAMES = ["n01440764", "n01443537", "n15075141"]  # the first, the second and the last


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights under torchvision's names."""
    network = features.NETWORKS["squeezenet1_0"]
    key, x = jax.random.key(0), jnp.zeros((1, 64, 64, 3))
    params = jax.jit(lambda: network.init(key, x, ["logits"])["params"])()
    arrays = {}
    for path, value in jax.tree.leaves_with_path(params):
        *place, kind = (part.key for part in path)
        name = ".".join(place).replace("features_", "features.")
        name = name.replace("classifier_", "classifier.")
        value = np.asarray(value)
        value = np.moveaxis(value, (3, 2), (0, 1)) if kind == "kernel" else value
        kind = {"kernel": "weight"}.get(kind, kind)
        arrays[f"{name}.{kind}"] = np.ascontiguousarray(value)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(arrays, path)
    return str(path)


def test_classes_are_chosen_by_their_wordnet_ids(weights, monkeypatch):
    monkeypatch.setattr(imagenet, "_BATCH", 2)  # the second batch is padded
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    every, _ = imagenet.Classifier(weights, ["face"])(images)
    some = imagenet.Classifier(weights, NAMES)
    log_probs, means = some(images)
    assert every.shape == (3, 1000) and means.shape == (3, 512)
    chosen = every[:, [0, 1, 999]]
    np.testing.assert_allclose(
        log_probs, chosen - np.log(np.exp(chosen).sum(1, keepdims=True)), atol=1e-4
    )
    assert some.names == NAMES and imagenet.Classifier(weights, ["face"]).names == ()
    assert some.name == "squeezenet1_0" and len(some.digest) == 12


def test_missing_weights_are_told():
    with pytest.raises(UserError, match="nowhere"):
        imagenet.Classifier("/nowhere.safetensors", NAMES)


@pytest.mark.real_data
def test_it_names_half_of_tiny_imagenets_images():
    if not (REAL / "weights").exists():
        pytest.skip(f"{REAL} is missing")
    test = sources.load("tiny_imagenet20", "test", str(REAL / "tfds"))
    weights = str(REAL / "weights" / "squeezenet1_0_imagenet.safetensors")
    log_probs, _ = imagenet.Classifier(weights, test.names)(test.images)
    right = np.mean(np.argmax(log_probs, axis=1) == test.labels)
    assert len(test.names) == 20 and 0.5 < right < 0.6
