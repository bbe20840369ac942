"""How every program here starts and ends: flags, faults, exit codes.

0: done. 1: training diverged, or a bug, with its traceback. 2: a fault that the user
can mend, told in one line. 128 + N: ended by signal N, with the state saved.
"""

from collections.abc import Callable, Sequence
import contextlib
import datetime
import functools
import os
import pathlib
import re
import signal
import sys
import traceback


class _Stream:
    """Standard output or error that outlives its reader, such as `| head -1`."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        return self._unless_gone(self._stream.write, text)

    def flush(self):
        self._unless_gone(self._stream.flush)

    def _unless_gone(self, do, *arguments):
        try:
            return do(*arguments)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _end_at_once(number, frame):
    del frame
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


# In programs, before the imports that take seconds and may swallow an exception; but
# not if a program imports this module from another one, as tests do.
_spec = getattr(sys.modules["__main__"], "__spec__", None)
if _spec and _spec.name.startswith("launch."):
    signal.signal(signal.SIGINT, _end_at_once)
    sys.stdout, sys.stderr = _Stream(sys.stdout), _Stream(sys.stderr)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's own chatter

# ruff: noqa: E402
from absl import app, flags, logging
import jax
from ml_collections import config_flags

from dlx import cache, paths
from dlx.errors import UserError, verdict

_COMPILATION_CACHE = flags.DEFINE_bool(
    "compilation_cache",
    True,
    "Keep compiled programs for the next start, in $JAX_COMPILATION_CACHE_DIR or "
    "~/.cache/dlx/xla.",
)
_CACHE_BYTES = 2 * 2**30  # of compiled programs; those not used for longest go first


class _Path(flags.ArgumentParser):
    """A flag's path, `~` being the home folder."""

    syntactic_help = "a path"

    def parse(self, argument):
        try:
            return paths.path(argument)
        except UserError as error:
            raise ValueError(error) from None


def path_flag(name: str, default: str | None, help: str, required: bool = False):
    """Defines a flag whose value is a pathlib.Path, or None."""
    module = sys._getframe(1).f_globals["__name__"]
    name_of = sys.argv[0] if module == "__main__" else module
    return flags.DEFINE(
        _Path(), name, default, help, module_name=name_of, required=required
    )


def run(
    main: Callable[..., int | None],
    commands: Sequence[str] = (),
    files: bool = False,
    trains: bool = False,
) -> None:
    """Parses the flags, calls `main` and exits with what it returns, or 0.

    Args:
      main: Takes the command, where there are any, and the files, where it may have
        some.
      commands: What the first argument that is not a flag can be.
      files: Whether there are files after that; without commands, at least one.
      trains: Whether it ends at once at a Ctrl-C before it trains; other programs
        tidy up first.
    """

    def guarded(argv):
        logging.set_verbosity(logging.WARNING)
        logging.get_absl_handler().setFormatter(None)
        if _COMPILATION_CACHE.value:
            _keep_compiled()
        if not trains:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return main(*argv[1:])
        except KeyboardInterrupt:
            return _say("interrupted", 128 + signal.SIGINT)
        except Exception as error:
            if known := verdict(error):
                code, line = known
                return _say(line, code)
            raise

    app.run(guarded, flags_parser=functools.partial(_parse, commands, files))


def experiment(workdir: pathlib.Path | None) -> tuple[str, pathlib.Path]:
    """The name of the file that --config gave, and the folder to work in.

    Args:
      workdir: What --workdir gave; where it did not, runs/NAME/TIMESTAMP.
    """
    path = config_flags.get_config_filename(flags.FLAGS["config"])
    name = pathlib.Path(path).stem
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return name, pathlib.Path(workdir or f"runs/{name}/{stamp}")


def _keep_compiled():
    directory = cache.folder("xla")
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    if jax.config.jax_compilation_cache_max_size == -1:  # nobody has set it
        _stamp(pathlib.Path(jax.config.jax_compilation_cache_dir))
        jax.config.update("jax_compilation_cache_max_size", _CACHE_BYTES)


def _stamp(directory):
    """Gives each compiled program a time of its last use.

    JAX fails to save programs if one lacks it: it was compiled without a limit to the
    cache's size, or its process was killed at the wrong moment.
    """
    for file in directory.glob("*-cache"):
        stamp = file.with_name(f"{file.name.removesuffix('-cache')}-atime")
        if not stamp.exists():
            with contextlib.suppress(OSError):
                stamp.write_bytes(file.stat().st_mtime_ns.to_bytes(8, "little"))


def _parse(commands, files, argv):
    """absl's parser, with a line where that prints tracebacks."""
    try:
        rest = flags.FLAGS(argv)
        given = rest[1:]
        if commands and not (given and given[0] in commands):
            raise UserError(f"say what to do: {' or '.join(commands)}")
        if files and not given:
            raise UserError("say which files")
        if not files and (stray := given[bool(commands) :]):
            raise UserError(f"what is {stray[0]!r}? Settings are given as --NAME=VALUE")
        if "config" in flags.FLAGS and flags.FLAGS.config is not None:
            flags.FLAGS.config.keys()  # a file that was not found is only told of here
        return rest
    except Exception as error:  # a config file is a program: it can fail in any way
        sys.exit(_say(_explain(error), 2))


def _explain(error):
    """One line for what went wrong as flags and config were read."""
    text = str(error)
    if isinstance(error, OSError):
        return f"no config file: {error.__cause__}".splitlines()[-1].strip()
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: not Python: {error.msg}"
    if "must have a value other than None" in text:
        return f"{text.split('=')[0].removeprefix('flag ')} is missing; --help has more"
    if isinstance(error, AttributeError) and "get_config" in text:
        return "the config file has no function get_config()"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if (
        isinstance(error, KeyError | AttributeError)
        and "ml_collections" in frame.filename
    ):
        names = re.findall(r"\w+", text.split("Did you mean")[0])
        meant = re.findall(r'Did you mean "(\w+)"', text)
        hint = f"; did you mean {meant[0]!r}?" if meant else ""
        return f"the config has no {names[0]!r}{hint}"
    if isinstance(error, flags.Error | UserError):
        return text
    return f"{frame.filename}:{frame.lineno}: {type(error).__name__}: {text}"


def _say(error, code):
    path = pathlib.Path(sys.argv[0])
    program = path.parent if path.stem == "__main__" else path
    print(f"{program.stem}: {' '.join(str(error).split())}", file=sys.stderr)
    return code
