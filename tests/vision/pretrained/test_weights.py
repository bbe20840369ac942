"""Weights from every kind of file, and invalid files."""

import functools
import http.server
import threading

from huggingface_hub import constants
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from dlx.errors import UserError
from dlx.vision.pretrained import features, weights
from dlx.vision.pretrained.squeezenet import SqueezeNet

ARRAYS = {
    "features.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "features.0.bias": np.array([1, -2], np.float32),
}

WRITERS = {
    ".safetensors": lambda path, arrays: safetensors.numpy.save_file(arrays, path),
    ".npz": lambda path, arrays: np.savez(path, **arrays),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_gives_back_its_arrays(kind, tmp_path):
    path = tmp_path / f"weights{kind}"
    WRITERS[kind](path, ARRAYS)
    found = weights.read(str(path))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_a_file_that_is_none_is_a_line(tmp_path):
    for name, why in [
        ("none.npz", "cannot read .*No such file"),
        ("weights.h5", "weight files end in .safetensors, .npz, .pth, .pt, .bin"),
    ]:
        with pytest.raises(UserError, match=why):
            weights.read(str(tmp_path / name))
    for ending in (".safetensors", ".npz", ".pth"):
        path = tmp_path / f"text{ending}"
        path.write_text("weights? what weights?")
        with pytest.raises(UserError, match="holds no weights"):
            weights.read(str(path))


class _Hub(http.server.SimpleHTTPRequestHandler):
    """Answers for files in its directory as the Hugging Face hub does for a commit."""

    def end_headers(self):
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", '"unchanged"')
        super().end_headers()

    def log_message(self, *_):
        pass


def test_the_hub_keeps_files_in_folders_too(tmp_path, monkeypatch):
    served = tmp_path / "hub" / "owner" / "repository" / "resolve" / "main" / "deep"
    served.mkdir(parents=True)
    safetensors.numpy.save_file(ARRAYS, served / "weights.safetensors")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    handler = functools.partial(_Hub, directory=tmp_path / "hub")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", hub)
        template = hub + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        read = weights.read("hf:owner/repository/deep/weights.safetensors")
        with pytest.raises(UserError, match="cannot fetch hf:owner/repository/none"):
            weights.read("hf:owner/repository/none.npz")
        server.shutdown()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)


def test_a_name_that_the_hub_cannot_have_is_a_line():
    for name in ("hf:", "hf:weights.npz", "hf:owner/weights.npz"):
        with pytest.raises(UserError, match="hf:OWNER/REPOSITORY/FILE"):
            weights.read(name)


def _squeezenet(version, wanted):
    network = SqueezeNet(version)
    x = np.zeros((1, 64, 64, 3), np.float32)
    return jax.eval_shape(lambda k: network.init(k, x, wanted), jax.random.key(0))


def _torchvision(params):
    """Those shapes as a file has them, under its names."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *modules, kind = (entry.key for entry in path)
        name = ".".join(modules).replace("features_", "features.")
        shape = leaf.shape
        if kind == "kernel":
            shape, kind = (shape[3], shape[2], *shape[:2]), "weight"
        values = np.random.default_rng(len(found)).normal(size=shape)
        found[f"{name}.{kind}"] = values.astype(np.float32)
    return found


def test_layers_that_are_not_required_may_be_missing(tmp_path):
    from configs import style

    wanted = ["conv1", "fire2"]
    params = _squeezenet("1.0", wanted)["params"]
    arrays = _torchvision(params)
    assert "features.3.expand3x3.weight" in arrays
    np.savez(tmp_path / "part.npz", **arrays)
    config = style.get_config()
    config.weights = str(tmp_path / "part.npz")
    network = features.load(config, wanted)
    kernel = network.variables["features_3"]["expand3x3"]["kernel"]
    by_hand = np.moveaxis(arrays["features.3.expand3x3.weight"], (0, 1), (3, 2))
    np.testing.assert_array_equal(kernel, by_hand)
    with pytest.raises(UserError, match=r"features.4.expand1x1.bias is missing"):
        features.load(config, ["fire3"])


def test_a_wrong_file_is_named_layer_by_layer():
    arrays = _torchvision(_squeezenet("1.1", ["fire2"])["params"])
    params = _squeezenet("1.0", ["fire2"])["params"]
    with pytest.raises(UserError) as told:
        weights.fit(arrays, params, "it")
    assert "features.0.weight is [64, 3, 3, 3], not [96, 3, 7, 7]" in str(told.value)
    assert "features.0.bias is [64], not [96]" in str(told.value)
    assert "expand3x3" not in str(told.value), "which is the same in both"


BEFORE = "module.", "_orig_mod.", "module._orig_mod.", "model.", "net.encoder."


def test_modules_around_the_network_are_found():
    params = _squeezenet("1.1", ["conv1"])["params"]
    arrays = _torchvision(params)
    alone = weights.fit(arrays, params, "it")
    for before in BEFORE:
        around = {before + name: array for name, array in arrays.items()}
        around["n_averaged"] = np.array(3)
        jax.tree.map(
            np.testing.assert_array_equal, weights.fit(around, params, "it"), alone
        )
        twice = {f"teacher.{name}": array for name, array in around.items()} | around
        with pytest.raises(UserError, match=f"several networks: {before}, teacher"):
            weights.fit(twice, params, "it")
        other = {f"x{name}": array for name, array in arrays.items()}
        with pytest.raises(UserError, match=r"missing; the file has xfeatures.0"):
            weights.fit(other, params, "it")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.float32("nan"), "not finite"),
        (np.float32("inf"), "not finite"),
        (np.float64(1e300), "not finite"),  # in float32
        (np.int32(1), "int32, not float"),
        (np.bool_(1), "bool, not float"),
        (np.complex64(1), "complex64, not float"),
    ],
)
def test_weights_are_finite_real_numbers(value, why):
    params = _squeezenet("1.1", ["conv1"])["params"]
    arrays = _torchvision(params)
    arrays["features.0.bias"] = np.full(64, value)
    with pytest.raises(UserError, match=f"features.0.bias is {why}"):
        weights.fit(arrays, params, "it")
    for kind in (np.float16, jnp.bfloat16, np.float64):
        arrays["features.0.bias"] = np.full(64, 2, kind)
        bias = weights.fit(arrays, params, "it")["features_0"]["bias"]
        assert bias.dtype == np.float32 and (bias == 2).all()
