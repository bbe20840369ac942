"""Reads weights from .safetensors, .npz and .pth files without running their code.

Names and layouts are torchvision's: 'features.3.squeeze.weight', convolutions [out, in,
height, width], dense layers [out, in].
"""

import collections
from collections.abc import Callable
import itertools
import math
import pathlib
import pickle
import re
from typing import Any
import zipfile

import jax
import jax.numpy as jnp
import numpy as np

from dlx import paths
from dlx.errors import UserError

_SHOWN = 6  # wrong layers that an error lists
_ORDER = {
    1: (0,),
    2: (1, 0),
    4: (2, 3, 1, 0),
}  # PyTorch's axes in Flax's order


def read(name: str) -> dict[str, np.ndarray]:
    """Reads all arrays of a file.

    Args:
      name: A path, or hf:OWNER/REPOSITORY/FILE, which huggingface_hub downloads and
        caches. The file's suffix determines the format.

    Raises:
      UserError: if the file cannot be read or holds no weights.
    """
    path = _fetch(name) if name.startswith("hf:") else paths.path(name)
    readers = {".safetensors": _read_safetensors, ".npz": _read_npz}
    readers |= dict.fromkeys((".pth", ".pt", ".bin"), read_pth)
    if path.suffix not in readers:
        endings = ", ".join(readers)
        raise UserError(f"{name}: unknown format; weight files end in {endings}")
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path} holds no weights: {error}") from None


def _read_safetensors(path):
    import safetensors.numpy

    return safetensors.numpy.load_file(path)


def _read_npz(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _fetch(name):
    import huggingface_hub

    parts = name.removeprefix("hf:").split("/", 2)
    if len(parts) < 3:
        raise UserError(
            f"{name}: invalid name; files of the hub are hf:OWNER/REPOSITORY/FILE"
        )
    owner, repository, file = parts
    try:
        path = huggingface_hub.hf_hub_download(f"{owner}/{repository}", file)
        return pathlib.Path(path)
    except Exception as error:  # network errors, unknown names, errors of the hub
        reason, *_ = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"cannot fetch {name}: {reason}") from None


_STORAGES = {
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "DoubleStorage": np.float64,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "BFloat16Storage": np.dtype(jnp.bfloat16),
}
_MODULE = "module."  # before every name that torch.nn.DataParallel saves
_INSIDE = "state_dict", "model_state_dict", "model"  # keys of training checkpoints


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
                f"it contains {module}.{name}, which is not a tensor"
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


def read_pth(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads a state dict that `torch.save` wrote, in the zip or the older format.

    The dict may lie inside a training checkpoint, and names may begin with 'module.'.

    Raises:
      pickle.UnpicklingError: if the file holds anything but dicts of tensors.
    """
    with path.open("rb") as file:
        tensors = _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    if not isinstance(tensors, dict):
        raise pickle.UnpicklingError("it is not a dict of tensors")
    while inside := [tensors[k] for k in _INSIDE if isinstance(tensors.get(k), dict)]:
        tensors = inside[0]
    arrays = {
        name.removeprefix(_MODULE): np.array(array)
        for name, array in tensors.items()
        if isinstance(name, str) and isinstance(array, np.ndarray)
    }
    if not arrays:
        raise pickle.UnpicklingError(
            f"it has no tensors, but {', '.join(map(str, list(tensors)[:_SHOWN]))}"
        )
    return arrays


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


def fit(arrays: dict[str, np.ndarray], params: Any, source: str) -> Any:
    """Converts arrays of torchvision's names and layouts to a Flax module's parameters.

    Args:
      arrays: Arrays by name. Arrays that the module does not use are ignored.
      params: The module's parameters or their shapes. `features_3` stands for
        torchvision's `features.3`.
      source: The arrays' origin, for errors.

    Returns:
      The parameters, float32.

    Raises:
      UserError: if layers are missing or have another shape; the message names them.
    """
    wrong = []

    def leaf(path, wanted):
        *modules, kind = [entry.key for entry in path]
        name = ".".join([*modules, {"kernel": "weight"}.get(kind, kind)])
        name = re.sub(r"^(features|classifier)_", r"\1.", name)
        if name not in arrays:
            wrong.append(f"{name} is missing")
            return None
        order = _ORDER[len(wanted.shape)]
        shape = tuple(wanted.shape[axis] for axis in np.argsort(order))
        array = np.asarray(arrays[name], np.float32)
        if array.shape != shape:
            wrong.append(f"{name} is {list(array.shape)}, not {list(shape)}")
            return None
        return np.transpose(array, order)

    fitted = jax.tree_util.tree_map_with_path(leaf, params)
    if wrong:
        listed = "; ".join(itertools.islice(wrong, _SHOWN))
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise UserError(f"{source} does not fit: {listed}{more}")
    return fitted
