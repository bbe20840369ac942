"""Reads state dicts that PyTorch saved, without PyTorch and without running code."""

import collections
from collections.abc import Callable
import math
import pathlib
import pickle
import zipfile

import jax.numpy as jnp
import numpy as np

_SHOWN = 6  # names that an error lists
_STORAGES = {
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "DoubleStorage": np.float64,
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
}
_MODELS = "state_dict", "model_state_dict", "model"  # of several dicts, the first
_ADVICE = "torch.save(model.state_dict(), 'weights.pth') writes a file that can be read"


class _Tensors(pickle.Unpickler):
    """Unpickles dicts of tensors and refuses everything else.

    Attributes:
      storage: Reads a tensor's storage: (dtype, key, length) -> a flat array.
    """

    storage: Callable[[type, str, int], np.ndarray]

    def find_class(self, module, name):
        allowed = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _view,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(
                f"it contains {module}.{name}, which is not a tensor; {_ADVICE}"
            )
        return allowed[module, name]

    def persistent_load(self, saved):
        _, dtype, key, _, length, *_ = saved
        return self.storage(dtype, key, length)


def _view(storage, offset, shape, strides, *_):
    """Returns a tensor as a view of its storage, within the storage's bounds."""
    last = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    sensible = min((offset, *shape, *strides), default=0) >= 0
    if not sensible or (math.prod(shape) and offset + last >= len(storage)):
        raise pickle.UnpicklingError("a tensor exceeds its storage")
    strides = [s * storage.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, strides)


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads a state dict that `torch.save` wrote, in the zip or the older format.

    The dict may lie anywhere inside the dicts of a training checkpoint.

    Raises:
      pickle.UnpicklingError: if the file holds anything but tensors and plain values,
        or not exactly one state dict.
    """
    with path.open("rb") as file:
        saved = _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    if not isinstance(saved, dict):
        raise pickle.UnpicklingError(f"it is not a dict of tensors; {_ADVICE}")
    found = _state_dicts(saved)
    if not found:
        names = ", ".join(map(str, list(saved)[:_SHOWN])) or "nothing"
        raise pickle.UnpicklingError(
            f"it has no layer's tensors such as features.0.weight, but {names}"
        )
    preferred = [n for last in _MODELS for n in found if n.split(".")[-1] == last]
    if len(found) > 1 and not preferred:
        raise pickle.UnpicklingError(
            f"it has several networks: {', '.join(found)}; save one of them"
        )
    return found[(*preferred, *found)[0]]


def _state_dicts(saved):
    """All dicts with tensors of layers, by the path of their keys."""
    found, seen, waiting = {}, set(), [("", saved)]
    while waiting:
        path, inside = waiting.pop(0)
        if id(inside) in seen:  # a pickled dict may contain itself
            continue
        seen.add(id(inside))
        named = {name: x for name, x in inside.items() if isinstance(name, str)}
        arrays = {n: np.array(x) for n, x in named.items() if isinstance(x, np.ndarray)}
        if any("." in name for name in arrays):  # unlike an optimiser's moments
            found[path] = arrays
        else:
            waiting += [
                (f"{path}.{name}".lstrip("."), x)
                for name, x in named.items()
                if isinstance(x, dict)
            ]
    return found


def _read_zip(file):
    with zipfile.ZipFile(file) as archive:
        (pickled,) = [n for n in archive.namelist() if n.endswith("/data.pkl")]
        folder = pickled.removesuffix("data.pkl")

        def storage(dtype, key, length):
            return np.frombuffer(archive.read(f"{folder}data/{key}"), dtype, length)

        with archive.open(pickled) as stream:
            reader = _Tensors(stream)
            reader.storage = storage
            return reader.load()


def _read_legacy(file):
    """Reads magic number, protocol, system, tensors and keys, then the storages."""
    file.seek(0)
    storages = {}

    def storage(dtype, key, length):
        if length * np.dtype(dtype).itemsize > size:
            raise pickle.UnpicklingError("the file is truncated")
        return storages.setdefault(key, np.zeros(length, dtype))

    size = file.seek(0, 2)
    file.seek(0)
    loaded = []
    for _ in range(5):
        reader = _Tensors(file)
        reader.storage = storage
        loaded.append(reader.load())
    *_, tensors, keys = loaded
    for key in keys:
        (length,) = np.frombuffer(file.read(8), np.int64)
        if length != len(storages[key]):
            raise pickle.UnpicklingError("a storage has an unexpected length")
        numbers = file.read(length * storages[key].itemsize)
        storages[key][:] = np.frombuffer(numbers, storages[key].dtype)
    return tensors
