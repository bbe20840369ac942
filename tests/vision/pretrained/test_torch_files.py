"""Files of PyTorch, written with and without it, and files that are something else."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from dlx.errors import UserError
from dlx.vision.pretrained import weights

ARRAYS = {
    "features.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "features.0.bias": np.array([1, -2], np.float32),
}
MOMENTS = {"exp_avg": np.ones(2, np.float32), "step": np.ones(1, np.float32)}
BYTES = np.arange(5, dtype=np.uint8)
_KINDS = {
    "float32": "FloatStorage",
    "bfloat16": "BFloat16Storage",
    "float16": "HalfStorage",
    "int16": "ShortStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
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
        kind = getattr(sys.modules["torch"], _KINDS[obj.array.dtype.name])
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
    for name in _KINDS.values():
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


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("save", [_save_zip, _save_legacy])
def test_a_file_gives_back_its_arrays(save, tmp_path):
    save(tmp_path / "weights.pth", ARRAYS)
    found = weights.read(str(tmp_path / "weights.pth"))
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


@pytest.mark.parametrize("legacy", [False, True])
def test_checkpoints_of_a_pytorch_training(legacy, tmp_path):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential()
    network.features = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3))
    optimizer = torch.optim.Adam(network.parameters())
    network.features(torch.ones(1, 3, 3, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "weights.pth"

    def read(saved):
        torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
        return weights.read(str(path))

    tensors = network.state_dict()
    moments, random = optimizer.state_dict(), torch.get_rng_state()
    for saved in (
        {"optimizer": moments, "net": tensors, "epoch": 3},
        {"checkpoint": {"model_state_dict": tensors}, "rng": random, "loss": 0.1},
    ):
        found = read(saved)
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(found[name], tensor.numpy())
    for saved in (network, {"model": network, "epoch": 3}):
        with pytest.raises(UserError, match=r"Sequential, .* torch\.save\(model"):
            read(saved)


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("kind", _KINDS)
def test_every_kind_of_number_is_read(kind, tmp_path):
    arrays = {"features.0.weight": np.array([0, 1, 2]).astype(kind)}
    for save in _save_zip, _save_legacy:
        save(tmp_path / "weights.pth", arrays)
        found = weights.read(str(tmp_path / "weights.pth"))["features.0.weight"]
        assert found.dtype == arrays["features.0.weight"].dtype
        np.testing.assert_array_equal(found, arrays["features.0.weight"])


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("suffix", ["pth", "pt", "bin"])
@pytest.mark.parametrize("save", [_save_zip, _save_legacy])
def test_the_usual_ways_to_save_are_read(save, suffix, tmp_path):
    half = {name: array.astype(jnp.bfloat16) for name, array in ARRAYS.items()}
    for arrays, saved in [
        (ARRAYS, {"state_dict": ARRAYS, "epoch": 3}),
        (ARRAYS, {"model": {"state_dict": ARRAYS}}),
        (ARRAYS, {"optimizer": {"state": {0: MOMENTS}}, "checkpoint": {"net": ARRAYS}}),
        (ARRAYS, {"state_dict_ema": half, "state_dict": ARRAYS, "rng": BYTES}),
        (ARRAYS, {"optimizer": MOMENTS, "network": ARRAYS}),
        (half, half),
    ]:
        save(tmp_path / f"weights.{suffix}", saved)
        found = weights.read(str(tmp_path / f"weights.{suffix}"))
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    for saved, why in [
        ({"epoch": 3, "optimizer": {}}, "no layer's tensors .*, but epoch, optimizer"),
        ({"a": ARRAYS, "b": {"c": half}}, "several networks: a, b.c; save one of them"),
        ([ARRAYS], r"not a dict of tensors; torch.save\(model.state_dict"),
    ]:
        save(tmp_path / "none.pth", saved)
        with pytest.raises(UserError, match=why):
            weights.read(str(tmp_path / "none.pth"))


@pytest.mark.usefixtures("torch")
def test_a_dict_that_contains_itself_ends(tmp_path):
    saved = {"epoch": 3}
    saved["self"] = saved
    for _ in range(40):  # 2^40 paths lead to the innermost
        saved = {"a": saved, "b": saved}
    _save_zip(tmp_path / "loop.pth", saved)
    with pytest.raises(UserError, match="no layer's tensors"):
        weights.read(str(tmp_path / "loop.pth"))


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
