"""Reads weights from .safetensors, .npz and .pth files without running their code.

Names and layouts are torchvision's: 'features.3.squeeze.weight', convolutions [out, in,
height, width], dense layers [out, in].
"""

import itertools
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlx import paths
from dlx.errors import UserError
from dlx.vision.pretrained import torch_files

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
    readers |= dict.fromkeys((".pth", ".pt", ".bin"), torch_files.read)
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


def fit(arrays: dict[str, np.ndarray], params: Any, source: str) -> Any:
    """Converts arrays of torchvision's names and layouts to a Flax module's parameters.

    Args:
      arrays: Arrays by name. All names may begin with the same modules, such as
        'module.' or '_orig_mod.'. Arrays that the module does not use are ignored.
      params: The module's parameters or their shapes. `features_3` stands for
        torchvision's `features.3`.
      source: The arrays' origin, for errors.

    Returns:
      The parameters, float32.

    Raises:
      UserError: if layers are missing, have another shape, are not of real numbers, or
        are not finite; the message names them.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    wanted = {_torchvision_name(path): leaf.shape for path, leaf in leaves}
    before = _modules_before(next(iter(wanted)), arrays, source)
    fitted, wrong = [], []
    for name, shape in wanted.items():
        order = _ORDER[len(shape)]
        array = arrays.get(before + name)
        if reason := _misfit(array, tuple(shape[axis] for axis in np.argsort(order))):
            wrong.append(f"{name} is {reason}")
        else:
            fitted.append(np.transpose(array.astype(np.float32), order))
    if wrong:
        listed = "; ".join(itertools.islice(wrong, _SHOWN))
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        has = ", ".join(itertools.islice(arrays, 3)) or "nothing"
        raise UserError(
            f"{source} does not fit: {listed}{more}; the file has {has} ..."
        )
    return jax.tree_util.tree_unflatten(structure, fitted)


def _torchvision_name(path):
    *modules, kind = [entry.key for entry in path]
    name = ".".join([*modules, {"kernel": "weight"}.get(kind, kind)])
    return re.sub(r"^(features|classifier)_", r"\1.", name)


def _modules_before(name, arrays, source):
    """Returns what precedes torchvision's names: '' or, for example, 'module.'."""
    before = {n.removesuffix(name) for n in arrays if f".{n}".endswith(f".{name}")}
    if not before or "" in before:
        return ""
    if len(before) > 1:
        raise UserError(
            f"{source} has several networks: {', '.join(sorted(before))}; save one"
        )
    return before.pop()


def _misfit(array, shape):
    """Why an array does not fit, or None."""
    if array is None:
        return "missing"
    if array.shape != shape:
        return f"{list(array.shape)}, not {list(shape)}"
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return f"{array.dtype}, not float"
    with np.errstate(over="ignore"):
        if not np.isfinite(array.astype(np.float32)).all():
            return "not finite"
    return None
