"""Configs and programs that come with dlx.

In a checkout the folders `launch` and `configs` lie beside `dlx`; an installed dlx has
them as `dlx.launch` and `dlx.configs`. In both, `configs` lies beside `launch`.
"""

import importlib.util
import pathlib
import sys
import types

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
IN_CHECKOUT = __package__ == "launch"


def load(path: pathlib.Path) -> types.ModuleType:
    """Runs a config file, which is a program, and returns its module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def get_config(name: str, *arguments: str):
    """Returns the ConfigDict of a config that dlx ships."""
    return load(CONFIGS / f"{name}.py").get_config(*arguments)


def find(text: str, folder: pathlib.Path = CONFIGS) -> str | None:
    """Finds a config file by its path, or one that dlx ships by its name.

    Args:
      text: The path or name, optionally with a colon and the argument of `get_config`.
      folder: Where names are looked up.

    Returns:
      The path, with the argument; None if there is no such file. A relative path is
      looked up in the current folder, and then in the one that contains `configs`.
    """
    name, colon, argument = text.partition(":")
    places = pathlib.Path(name), CONFIGS.parent / name, folder / f"{name}.py"
    for path in places:
        if path.is_file():
            return f"{path}{colon}{argument}"
    return None


def program(name: str) -> list[str]:
    """The start of a command line that runs a program of `launch`."""
    return [sys.executable, "-m", f"{__package__}.{name}"]


def train_command(name: str, *settings: str) -> str:
    """The command, as people write it, that trains a config that dlx ships."""
    start = f"python -m launch.main --config=configs/{name}.py"
    return " ".join((start if IN_CHECKOUT else f"dlx train {name}", *settings))
