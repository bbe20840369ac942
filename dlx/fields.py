"""Valid values of config fields.

A module that reads a config lists the fields in FIELDS, each with its valid values, and
`check` refuses any other value before anything is built. NaN and the infinities are in
no range.
"""

from collections.abc import Callable, Mapping
import dataclasses
import math
import numbers
from typing import Any

import jax

from dlx.errors import UserError

MOST = 2**31 - 1  # the largest int32, in which steps, examples and pixels are counted


@dataclasses.dataclass(frozen=True)
class Field:
    """The valid values of a field.

    Attributes:
      accepts: Whether a value is valid.
      text: The valid values in words; it completes "config.NAME must be ...".
    """

    accepts: Callable[[Any], bool]
    text: str


def integer(low: int = 1, high: int = MOST) -> Field:
    """An integer in low ... high."""

    def accepts(value):
        is_integer = isinstance(value, numbers.Integral)
        return is_integer and not isinstance(value, bool) and low <= value <= high

    return Field(accepts, f"an integer in {low} ... {high}")


def real(
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> Field:
    """A finite number with low <= number <= high and above < number < below."""

    def accepts(value):
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return (
            is_number
            and math.isfinite(value)
            and low <= value <= high
            and above < value < below
        )

    bounds = [
        (low, "at least"), (high, "at most"), (above, "above"), (below, "below")
    ]  # fmt: skip
    said = " and ".join(
        f"{word} {bound}" for bound, word in bounds if math.isfinite(bound)
    )
    return Field(accepts, f"a finite number, {said}" if said else "a finite number")


def choice(*values: Any) -> Field:
    """One of the values, which are hashable."""
    text = f"one of: {', '.join(map(repr, values))}"
    return Field(lambda value: _is_hashable(value) and value in values, text)


def flag() -> Field:
    """True or False."""
    return Field(lambda value: isinstance(value, bool), "True or False")


def text() -> Field:
    """A string."""
    return Field(lambda value: isinstance(value, str), "text")


def row(entry: Field, low: int = 0, high: int | None = None) -> Field:
    """A tuple or list of `low` entries or more, at most `high` if that is given."""

    def accepts(value):
        return (
            isinstance(value, tuple | list)
            and low <= len(value) <= (len(value) if high is None else high)
            and all(map(entry.accepts, value))
        )

    number = {(0, None): "", (low, low): f"{low} "}.get((low, high))
    if number is None:
        number = f"{low} or more " if high is None else f"{low} ... {high} "
    return Field(accepts, f"a row of {number}entries, each {entry.text}")


def table(value: Field) -> Field:
    """A mapping from any names to valid values."""

    def accepts(entries):
        return hasattr(entries, "values") and all(map(value.accepts, entries.values()))

    return Field(accepts, f"a table of names and values, each {value.text}")


def group() -> Field:
    """A nested config, whose own fields are checked where it is read."""
    return Field(lambda value: hasattr(value, "items"), "a table of names and values")


def optional(field: Field) -> Field:
    """None, or a value of the field."""
    return either(Field(lambda value: value is None, "None"), field)


def either(first: Field, second: Field) -> Field:
    """A value that either of two fields accepts."""
    return Field(
        lambda value: first.accepts(value) or second.accepts(value),
        f"{first.text} or {second.text}",
    )


def check(
    config: Mapping[str, Any], fields: Mapping[str, Field], before: str = "config"
) -> None:
    """Checks the fields of a config; fields that it lacks are skipped.

    Args:
      config: A config, or a part of one.
      fields: Its fields by name.
      before: The part's name, for the message.

    Raises:
      UserError: if a value is invalid; it names the field, its valid values and the
        given one.
    """
    for name, field in fields.items():
        if name not in config or isinstance(config[name], jax.core.Tracer):
            continue  # a traced value was checked when it was a number
        if not field.accepts(config[name]):
            value = config[name]
            value = value.to_dict() if hasattr(value, "to_dict") else value
            raise UserError(f"{before}.{name} must be {field.text}, got {value!r}")


def _is_hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True
