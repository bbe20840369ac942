"""Data sets of image files: a user's folder, and scikit-image's photographs."""

from collections.abc import Sequence
import hashlib
import os
import pathlib

import numpy as np

from dlx.data import decoded, images
from dlx.errors import UserError

FOLDER = "folder:"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_SPLITS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
_TEST = 10  # every tenth file is in the test split
_PHOTOGRAPHS = {
    "train": ["skimage:astronaut", "skimage:coffee", "skimage:rocket"],
    "test": ["skimage:chelsea"],
}


class Files:
    """A source of image files, each read when it is needed; see `sources.Source`."""

    def __init__(self, parts: dict[str, list[tuple[str, int]]], names: Sequence[str]):
        """Stores the lists of files.

        Args:
          parts: {split: pairs of a file and its label}.
          names: Names of the classes, by label.
        """
        self._parts, self.names = parts, names
        self.splits = tuple(parts)

    def arrays(self, split: str, size: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Reads a split: images [examples, size, size, 3] uint8, and labels.

        Raises:
          UserError: if `size` is None.
        """
        if size is None:
            raise UserError(
                "config.image_size is missing, the size to which image files are scaled"
            )
        pairs = self._parts[split]
        version = "\n".join(f"{_version(path)} {label}" for path, label in pairs)
        return decoded.arrays(f"folder-{split}", version, Examples(pairs), size)


def _version(path):
    """A text that changes with a file."""
    if path.startswith(images.BUNDLED):
        return path
    file = os.stat(path)
    return f"{os.path.abspath(path)} {file.st_mtime_ns} {file.st_size}"


class Examples(Sequence):
    """Examples from image files, each read when it is asked for."""

    def __init__(self, pairs):
        self._paths = [path for path, _ in pairs]
        self.labels = [label for _, label in pairs]

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)
        picture = images.read(self._paths[index]).convert("RGB")
        return {"image": np.asarray(picture), "label": self.labels[index]}


def photographs() -> Files:
    """The photographs that come with scikit-image."""
    parts = {
        split: [(name, 0) for name in some] for split, some in _PHOTOGRAPHS.items()
    }
    return Files(parts, ["any"])


def folder(path: str) -> Files:
    """The pictures in a folder and its subfolders, which may be links.

    Hidden files and folders are skipped. Of files with equal bytes only the first is
    used. If all pictures lie in two subfolders or more, each subfolder is a
    class. Folders `train` and `test`, and perhaps `validation`, are the splits;
    otherwise every tenth file is in the test split.

    Raises:
      UserError: if there are fewer than two pictures.
    """
    root = pathlib.Path(path).expanduser()
    parts = {
        split: root / name
        for split, names in _SPLITS.items()
        for name in names
        if (root / name).is_dir()
    }
    if {"train", "test"} <= parts.keys():
        files = {split: _pictures(part) for split, part in parts.items()}
    else:
        parts = dict.fromkeys(("train", "test"), root)
        every = _pictures(root)
        test = every[::_TEST]
        files = {"train": [f for f in every if f not in set(test)], "test": test}
    if not all(files.values()):
        raise UserError(f"config.dataset: {root} has fewer than two images")
    relative = {
        split: [file.relative_to(parts[split]) for file in files[split]]
        for split in parts
    }
    first = {file.parts[0] for some in relative.values() for file in some}
    is_deep = all(len(file.parts) > 1 for some in relative.values() for file in some)
    names = sorted(first) if is_deep and len(first) > 1 else ["any"]
    labels = {name: label for label, name in enumerate(names)}
    pairs = {
        split: [
            (str(parts[split] / file), labels.get(file.parts[0], 0))
            for file in relative[split]
        ]
        for split in parts
    }
    return Files(pairs, names)


def _pictures(root):
    """All different pictures below a folder, by name."""
    pictures, visited = [], set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # reached through a link
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        pictures += [
            pathlib.Path(folder, name)
            for name in names
            if not name.startswith(".")
            and pathlib.Path(name).suffix.lower() in _SUFFIXES
            and os.path.isfile(os.path.join(folder, name))
        ]
    return _without_copies(sorted(pictures))


def _without_copies(paths):
    """The first of each set of files with the same bytes."""
    sizes = [path.stat().st_size for path in paths]
    different, contents = [], set()
    for path, size in zip(paths, sizes, strict=True):
        if sizes.count(size) > 1:
            content = hashlib.sha256(path.read_bytes()).digest()
            if content in contents:
                continue
            contents.add(content)
        different.append(path)
    return different
