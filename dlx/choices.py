"""Choices of a config: a name of dlx's or an import path, optionally with settings.

A choice is a name, such as 'adam', or a ConfigDict of `name` and the settings of what
the name stands for, such as {'name': 'adam', 'b1': 0.8}.
"""

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
import importlib
import importlib.util
import inspect
import re
from typing import Any

from dlx import fields
from dlx.errors import UserError

CHOICES = "network", "optimizer"  # fields of configs
FIELD = fields.Field(
    lambda value: isinstance(value, str) or isinstance(_name(value), str),
    "a name, or a table of `name` and settings",
)


def _name(value):
    return value.get("name") if hasattr(value, "get") else None


def read(choice: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns a choice's name and its settings.

    Raises:
      UserError: if it is neither a name nor a mapping that has one.
    """
    if isinstance(choice, str):
        return choice, {}
    settings = dict(choice.items()) if hasattr(choice, "items") else {}
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"a choice needs a name, such as 'adam', got {choice!r}")
    return name, settings


def settings_of(function: Callable[..., Any]) -> set[str]:
    """Names of the arguments that a function or class takes."""
    return set(inspect.signature(function).parameters)


def known(
    what: str,
    name: str,
    given: Mapping[str, Any],
    own: Iterable[str],
    others: Iterable[str] = (),
) -> dict[str, Any]:
    """Returns the given settings that the choice has.

    Settings that only other choices have are left out, so that one flag can change the
    name.

    Args:
      what: The config's field, for the message.
      name: The choice's name.
      given: The settings.
      own: The settings that the choice has.
      others: The settings that other choices of this field have.

    Raises:
      UserError: if a setting is neither its own nor one of others.
    """
    unknown = sorted(given.keys() - set(own) - set(others))
    if unknown:
        raise UserError(
            f"{what}: {name} has no setting {unknown[0]!r}; it has: "
            f"{', '.join(sorted(own))}"
        )
    return {setting: value for setting, value in given.items() if setting in own}


def imported(path: str) -> Any:
    """Imports a module, or a value of a module, such as 'optax.adabelief'.

    Raises:
      UserError: if there is no such module or value.
    """
    before, _, last = path.rpartition(".")
    if exists(path):
        return importlib.import_module(path)
    if exists(before):
        module = importlib.import_module(before)
        if hasattr(module, last):
            return getattr(module, last)
    raise UserError(f"{path} cannot be imported")


def exists(path: str) -> bool:
    """Whether a module can be found."""
    try:
        return importlib.util.find_spec(path) is not None
    except (ImportError, ValueError, AttributeError):  # raised by a parent package
        return False


def override(config: Any, field: str, value: Any) -> None:
    """Sets the name or a setting of a config's choice.

    Args:
      config: A ConfigDict.
      field: 'optimizer' or 'optimizer.name' for the name, 'optimizer.b1' for a setting.
      value: The new value.

    Raises:
      UserError: if the config has no such choice.
    """
    field, _, setting = field.partition(".")
    if field not in config:
        raise UserError(f"the config has no {field!r}")
    name, settings = read(config[field])
    if setting in ("", "name"):
        name = value
    else:
        settings[setting] = value
    with config.unlocked(), config.ignore_type():
        config[field] = {"name": name} | settings if settings else name


def from_flags(argv: Sequence[str]) -> tuple[list[str], list[tuple[str, Any]]]:
    """Extracts the flags of choices, which may name settings that the config lacks.

    Returns:
      The other arguments, and pairs of a field, such as 'optimizer.b1', and a value.
    """
    pattern = rf"--?config\.(({'|'.join(CHOICES)})(\.\w+)?)(=(.*))?"
    others, chosen, rest = [], [], iter(argv)
    for argument in rest:
        if found := re.fullmatch(pattern, argument, re.DOTALL):
            field, text = found[1], found[5] if found[4] else next(rest, "")
            chosen.append((field, _literal(text)))
        else:
            others.append(argument)
    return others, chosen


def _literal(text):
    """The Python value of a text, or the text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return {"true": True, "false": False}.get(text, text)
