"""Paths given by the user: in flags and configs."""

import errno
import os
import pathlib
import re
import stat

from dlx.errors import UserError

# Fields of configs that name folders and files of this machine.
FOLDERS = "data_dir", "manual_dir"
FILES = "content", "style", "mask", "weights", "corpus", "words", "pretrained"
_FOLDER = "folder:"
_NAMES = "skimage:", "hf:"  # prefixes of names that are not paths
_RANDOM = "random"  # not a path either


def path(text: str | pathlib.Path) -> pathlib.Path:
    """Converts text to a path and expands `~`.

    Raises:
      UserError: if the text is empty or an address of a remote file system, for example
        gs://bucket/runs, or the home folder is unknown.
    """
    if not str(text).strip():  # for example of a shell variable that is not set
        raise UserError("the path is empty; '.' is the current folder")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(text)):
        raise UserError(
            f"{text} is not a path on this machine; mount it or give a local path"
        )
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:  # unknown user or no home folder
        raise UserError(f"{text}: {error}") from None


def names(text: str) -> list[str]:
    """Splits a list of names at commas; a file whose name has a comma stays whole."""
    if "," in text and not text.startswith(_NAMES) and path(text).exists():
        return [text]
    return text.split(",")


def read_text(path: pathlib.Path, errors: str = "strict") -> str:
    """Reads a regular file. Unlike Path.read_text it does not wait for a pipe's writer.

    Raises:
      OSError: if the file is missing, cannot be read or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, errors=errors, encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read()


def resolve(config) -> None:
    """Makes a config's paths absolute, independent of the current folder."""
    for field in (*FOLDERS, *FILES):
        value = config.get(field)
        if isinstance(value, str) and value:
            config[field] = ",".join(map(_absolute, names(value)))
    dataset = config.get("dataset")
    if isinstance(dataset, str) and dataset.startswith(_FOLDER):
        config.dataset = _FOLDER + _absolute(dataset.removeprefix(_FOLDER))


def _absolute(text):
    if text.startswith(_NAMES) or text == _RANDOM:
        return text
    return str(path(text).absolute())
