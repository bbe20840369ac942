"""Errors of flags and of config files, each as one line."""

from collections.abc import Sequence
import re
import traceback
import typing

from absl import flags

from dlx.errors import UserError, first_line


def place(error: BaseException, argv: Sequence[str]) -> str | None:
    """Returns 'FILE:LINE' of the config file's own error, or None if it has none."""
    file = _config_file(argv)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else None


def line(error: BaseException, argv: Sequence[str]) -> str:
    """Returns one line for an error while flags and config were read."""
    cause = error
    while cause is not None:  # ml_collections wraps the config file's errors
        where = place(cause, argv)
        if where and not isinstance(cause, SyntaxError):
            said = f"{where}: {type(cause).__name__}: {first_line(cause)}".rstrip(": ")
            return said + _valid_arguments(cause)
        previous, cause = cause, cause.__cause__ or cause.__context__
    if isinstance(previous, TypeError) and "Error whilst parsing" in str(error):
        return f"{_config_file(argv)}: {previous}"  # get_config cannot be called
    text = str(error)
    if isinstance(error, OSError):
        return f"no config file: {error.__cause__}".splitlines()[-1].strip()
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: not Python: {error.msg}"
    if "must have a value other than None" in text and _config_file(argv):
        return f"{_config_file(argv)}: get_config() returned None"
    if "must have a value other than None" in text:
        return f"{text.split('=')[0].removeprefix('flag ')} is missing; see --help"
    if isinstance(error, AttributeError) and "get_config" in text:
        return "the config file has no function get_config()"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if (
        isinstance(error, KeyError | AttributeError)
        and "ml_collections" in frame.filename
    ):
        names = re.findall(r"\w+", text.split("Did you mean")[0])
        similar = re.findall(r'Did you mean "(\w+)"', text)
        hint = f"; did you mean {similar[0]!r}?" if similar else ""
        return f"the config has no {names[0]!r}{hint}"
    if isinstance(error, flags.Error | UserError | IndexError):
        return text
    return f"{frame.filename}:{frame.lineno}: {type(error).__name__}: {text}"


def _config_file(argv):
    """The config file's path in the arguments, or None."""
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, value = argument.lstrip("-").partition("=")
        if name == "config":
            return (value if equals else following).partition(":")[0]
    return None


def _valid_arguments(error):
    """The arguments that get_config takes, if the error is about another one."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    hints = getattr(frame.f_globals.get("get_config"), "__annotations__", {})
    valid = [
        value
        for hint in hints.values()
        if typing.get_origin(hint) is typing.Literal
        for value in typing.get_args(hint)
    ]
    if not valid or not isinstance(error, KeyError) or error.args[0] in valid:
        return ""
    return f"; after a colon, the config takes {' or '.join(valid)}"
