"""The command `dlx`: starts a program by its name, on a config by its name.

    dlx train pg_rocks16 --config.seed=1
    dlx play --workdir=runs/pg_rocks16/20261125-120000

In a checkout `python -m launch` is the same command.
"""

import ast
import difflib
import os
import pathlib
import sys

from dlx.errors import UserError

from . import shipped

_FOLDER = pathlib.Path(__file__).parent
_SWEEPS = shipped.CONFIGS / "sweeps"
_TAKE_CONFIGS = {
    "train": shipped.CONFIGS,
    "inspect": shipped.CONFIGS,
    "sweep": _SWEEPS,
}


def main() -> int:
    """Runs the command of the process's arguments; returns the exit code."""
    command, *arguments = sys.argv[1:] or ["help"]
    try:
        if command in ("help", "-h", "--help"):
            print(_help())
        elif command == "configs":
            print(_list_of_configs())
        else:
            _start(command, arguments)
    except UserError as error:
        print(f"dlx: {error}", file=sys.stderr)
        return 2
    return 0


def _start(command, arguments):
    """Replaces this process by a program.

    Raises:
      UserError: if there is no such program or config.
    """
    programs = _programs()
    if command not in programs:
        raise UserError(_unknown("command", command, [*programs, "configs"], "dlx"))
    if command in _TAKE_CONFIGS and arguments and not arguments[0].startswith("-"):
        name, folder = arguments[0], _TAKE_CONFIGS[command]
        path = shipped.find(name, folder)
        if path is None:
            names = [path.stem for path in folder.glob("*.py")]
            raise UserError(_unknown("config", name, names, "dlx configs"))
        arguments[0] = f"--config={path}"
    line = [*shipped.program(programs[command].stem), *arguments]
    os.execv(line[0], line)


def _programs():
    """The programs of launch: {command: its file, or its folder}."""
    found = {path.stem: path for path in _FOLDER.glob("*.py")}
    found |= {path.parent.name: path for path in _FOLDER.glob("*/__main__.py")}
    programs = {
        "train" if name == "main" else name: path
        for name, path in sorted(found.items())
        if name != "__main__"
        and 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    }
    return {
        command: path.parent if path.stem == "__main__" else path
        for command, path in programs.items()
    }


def _unknown(what, name, names, lister):
    """A message with the names that are most like an unknown one."""
    similar = difflib.get_close_matches(name.partition(":")[0], names, 3, 0.5)
    hint = f"did you mean {' or '.join(similar)}? " if similar else ""
    return f"there is no {what} {name!r}; {hint}`{lister}` lists them"


def _help():
    paths = {
        command: path if path.suffix else path / "__main__.py"
        for command, path in _programs().items()
    }
    lines = {command: _first_line(path) for command, path in paths.items()}
    lines["configs"] = "Lists the configs for `train`, `inspect` and `sweep`."
    return (
        "usage: dlx COMMAND [ARGUMENTS]; `dlx COMMAND --help` lists a command's flags\n"
        "\n"
        + _table(dict(sorted(lines.items())))
        + "\n\nExample: dlx train pg_rocks16 --config.seed=1"
    )


def _list_of_configs():
    parts = []
    for title, folder in (
        ("Configs for `dlx train` and `dlx inspect`:", shipped.CONFIGS),
        ("Configs for `dlx sweep`:", _SWEEPS),
    ):
        lines = {path.stem: _first_line(path) for path in sorted(folder.glob("*.py"))}
        parts.append(f"{title}\n{_table(lines)}")
    return "\n\n".join(parts)


def _table(lines):
    width = max(map(len, lines))
    return "\n".join(f"  {name:{width}}  {line}" for name, line in lines.items())


def _first_line(path):
    """The first line of a file's docstring; the file is not run."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split(
        "\n"
    )[0]


if __name__ == "__main__":
    sys.exit(main())
