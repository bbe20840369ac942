"""Weights from every kind of file, and invalid files."""

import collections
import functools
import http.server
import io
import os
import pickle
import sys
import threading
import types
import zipfile

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


class _Torch(pickle.Pickler):
    """Pickles arrays as torch.save does tensors."""

    def __init__(self, file, legacy):
        super().__init__(file, protocol=2)
        self.storages, self._legacy = {}, legacy

    def reducer_override(self, obj):
        if isinstance(obj, np.ndarray):
            strides = tuple(s // obj.itemsize for s in obj.strides)
            rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
            hooks = collections.OrderedDict()
            storage = _Storage(obj)
            return rebuild, (storage, 0, obj.shape, strides, False, hooks)
        return NotImplemented

    def persistent_id(self, obj):
        if not isinstance(obj, _Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = obj.array
        name = {"bfloat16": "BFloat16Storage"}.get(obj.array.dtype.name, "FloatStorage")
        kind = getattr(sys.modules["torch"], name)
        more = (None,) if self._legacy else ()
        return "storage", kind, key, "cpu", obj.array.size, *more


class _Storage:
    def __init__(self, array):
        self.array = array


@pytest.fixture
def torch(monkeypatch):
    """The parts of PyTorch that its files name."""

    def _rebuild_tensor_v2():
        raise AssertionError

    fake = types.ModuleType("torch"), types.ModuleType("torch._utils")
    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    fake[1]._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in "FloatStorage", "BFloat16Storage":
        setattr(fake[0], name, type(name, (), {"__module__": "torch"}))
    for module in fake:
        monkeypatch.setitem(sys.modules, module.__name__, module)


def _save_zip(path, thing):
    stream = io.BytesIO()
    pickler = _Torch(stream, legacy=False)
    pickler.dump(thing)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        for key, array in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())


def _save_legacy(path, thing):
    with path.open("wb") as file:
        for first in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(first, file, protocol=2)
        pickler = _Torch(file, legacy=True)
        pickler.dump(thing)
        pickle.dump(list(pickler.storages), file, protocol=2)
        for array in pickler.storages.values():
            file.write(np.int64(array.size).tobytes() + array.tobytes())


WRITERS = {
    ".safetensors": lambda path, arrays: safetensors.numpy.save_file(arrays, path),
    ".npz": lambda path, arrays: np.savez(path, **arrays),
    "zip.pth": _save_zip,
    "legacy.pth": _save_legacy,
}


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_gives_back_its_arrays(kind, tmp_path):
    path = tmp_path / f"weights{kind}"
    WRITERS[kind](path, ARRAYS)
    found = weights.read(str(path))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("legacy", [False, True])
def test_what_pytorch_itself_writes(legacy, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.as_tensor(array) for name, array in ARRAYS.items()}
    tensors["features.0.weight"] = torch.nn.Parameter(tensors["features.0.weight"])
    tensors["turned"] = tensors["features.0.weight"].transpose(0, 1)
    path = tmp_path / "weights.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
    found = weights.read(str(path))
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.detach().numpy())


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("suffix", ["pth", "pt", "bin"])
@pytest.mark.parametrize("save", [_save_zip, _save_legacy])
def test_the_usual_ways_to_save_are_read(save, suffix, tmp_path):
    half = {name: array.astype(jnp.bfloat16) for name, array in ARRAYS.items()}
    for arrays, saved in [
        (ARRAYS, {"state_dict": ARRAYS, "epoch": 3}),
        (ARRAYS, {"model": {"state_dict": ARRAYS}}),
        (ARRAYS, {f"module.{name}": array for name, array in ARRAYS.items()}),
        (half, half),
    ]:
        save(tmp_path / f"weights.{suffix}", saved)
        found = weights.read(str(tmp_path / f"weights.{suffix}"))
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    save(tmp_path / "none.pth", {"epoch": 3, "optimizer": {}})
    with pytest.raises(UserError, match="it has no tensors, but epoch, optimizer"):
        weights.read(str(tmp_path / "none.pth"))


class _Evil:
    def __reduce__(self):
        return os.mkdir, (_Evil.path,)


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("save", [_save_zip, _save_legacy])
def test_nothing_in_a_file_runs(save, tmp_path):
    _Evil.path = str(tmp_path / "made")
    save(tmp_path / "evil.pth", {"features.0.weight": _Evil()})
    with pytest.raises(UserError, match=r"posix.mkdir, which is not a tensor"):
        weights.read(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "made").exists()


@pytest.mark.usefixtures("torch")
def test_no_tensor_reaches_beyond_its_storage(tmp_path):
    array = np.lib.stride_tricks.as_strided(np.zeros(4, np.float32), (2,), (400,))
    _save_zip(tmp_path / "far.pth", {"far": array})
    with pytest.raises(UserError, match="exceeds its storage"):
        weights.read(str(tmp_path / "far.pth"))


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
