"""Paths that people type."""

import pathlib
import re

from dlx.errors import UserError

_FIELDS = "data_dir", "manual_dir", "content", "style", "mask", "weights", "corpus"
_FOLDER = "folder:"
_NAMES = "skimage:", "hf:"  # what begins so is no path, and neither is this:
_RANDOM = "random"


def path(text: str | pathlib.Path) -> pathlib.Path:
    """A path, `~` being the home folder.

    Raises:
      UserError: if it is an address of another file system, such as gs://bucket/runs.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(text)):
        raise UserError(f"{text} is no path of this machine; mount it, or give another")
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:  # nobody of that name, or no home
        raise UserError(f"{text}: {error}") from None


def resolve(config) -> None:
    """Makes a config's paths absolute, so that they mean the same from anywhere."""
    for field in _FIELDS:
        value = config.get(field)
        if isinstance(value, str) and value:
            config[field] = ",".join(map(_absolute, value.split(",")))
    dataset = config.get("dataset")
    if isinstance(dataset, str) and dataset.startswith(_FOLDER):
        config.dataset = _FOLDER + _absolute(dataset.removeprefix(_FOLDER))


def _absolute(text):
    if text.startswith(_NAMES) or text == _RANDOM:
        return text
    return str(path(text).absolute())
