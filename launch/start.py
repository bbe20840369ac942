"""Start and end of every program: flags, errors, exit codes.

0: done. 1: training diverged, or a bug (with its traceback). 2: a user error, printed
in one line. 128 + N: ended by signal N; a training's state is saved.
"""

import _thread
from collections.abc import Callable, Sequence
import contextlib
import datetime
import functools
import itertools
import os
import pathlib
import signal
import sys
import threading
import time

BEGAN = time.monotonic()  # before the imports that take seconds


class _Stream:
    """Standard output or error that ignores a closed pipe, as in `| head -1`.

    A character that its encoding lacks, for example in a path, is written as its code.
    """

    def __init__(self, stream):
        stream.reconfigure(errors="backslashreplace")
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        return self._ignoring_closed_pipe(self._stream.write, text)

    def flush(self):
        self._ignoring_closed_pipe(self._stream.flush)

    def _ignoring_closed_pipe(self, function, *arguments):
        try:
            return function(*arguments)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _wrap_streams():
    """Wraps standard output and error; those that are closed (`>&-`) become /dev/null.

    The next files that a program opens would otherwise be its standard streams.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = _Stream(sys.stdout or os.fdopen(1, "w", encoding="utf-8"))
    sys.stderr = _Stream(sys.stderr or os.fdopen(2, "w", encoding="utf-8"))


def _end_at_once(number, frame):
    del frame
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


def interrupt_again(unraisable) -> None:
    """Repeats a Ctrl-C that a callback, for example the garbage collector's, dropped.

    It is a `sys.unraisablehook`.
    """
    if unraisable.exc_type is KeyboardInterrupt:
        threading.Timer(0.05, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def _print_flag_error(kind, error, trace):
    """Prints an error of a flag that is read while programs are imported."""
    if kind.__module__.startswith("absl.flags"):
        os._exit(_print_error(error, 2))
    sys.__excepthook__(kind, error, trace)


# Programs do this before the imports, which take seconds and may swallow an exception.
# Modules that are not programs of `launch`, for example tests, skip it.
_spec = getattr(sys.modules["__main__"], "__spec__", None)
if _spec and _spec.name.startswith(f"{__package__}."):
    signal.signal(signal.SIGINT, _end_at_once)
    _wrap_streams()
    sys.excepthook = _print_flag_error

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # silences XLA's messages

# ruff: noqa: E402
from absl import app, flags, logging
import jax
import ml_collections
from ml_collections import config_flags

from dlx import cache, choices, paths
from dlx.errors import UserError, exit_status

from . import flag_errors

_COMPILATION_CACHE = flags.DEFINE_bool(
    "compilation_cache",
    True,
    "Cache compiled programs for the next start, in $JAX_COMPILATION_CACHE_DIR or "
    "~/.cache/dlx/xla.",
)
_CACHE_BYTES = 2 * 2**30  # of compiled programs; the least recently used go first


class _Path(flags.ArgumentParser):
    """Parses a flag's path and expands `~`."""

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
    """Parses the flags, calls `main` and exits with its return value, or 0.

    Args:
      main: Called with the command, if `commands` is not empty, and the files, if
        `files` is true.
      commands: The valid values of the first argument that is not a flag.
      files: Whether files follow. At least one is required if there are no commands.
      trains: Whether Ctrl-C ends the program immediately until training starts. Other
        programs raise KeyboardInterrupt and clean up.
    """

    def guarded(argv):
        logging.set_verbosity(logging.WARNING)
        logging.get_absl_handler().setFormatter(None)
        if _COMPILATION_CACHE.value:
            _enable_compilation_cache()
        if not trains:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = interrupt_again
        try:
            return main(*argv[1:])
        except KeyboardInterrupt:
            return _print_error("interrupted", 128 + signal.SIGINT)
        except Exception as error:
            if status := exit_status(error):
                code, line = status
                return _print_error(line, code)
            raise

    app.run(guarded, flags_parser=functools.partial(_parse, commands, files))


def experiment(workdir: pathlib.Path | None) -> tuple[str, pathlib.Path]:
    """Returns the experiment's name, which is the config file's, and its folder.

    Args:
      workdir: The value of --workdir. None selects runs/NAME/TIMESTAMP.
    """
    path = config_flags.get_config_filename(flags.FLAGS["config"])
    name = pathlib.Path(path).stem
    return name, workdir or _new_folder(pathlib.Path("runs", name))


def _new_folder(parent):
    """Makes a folder named by the time, with '-2' and so on if that is taken."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"cannot write in {parent}: {error.strerror}") from None
    raise AssertionError


def _enable_compilation_cache():
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    if jax.config.jax_compilation_cache_dir is not None:
        return  # the user's own, which other programs may share without a limit
    directory = cache.folder("xla")
    jax.config.update("jax_compilation_cache_dir", str(directory))
    if jax.config.jax_compilation_cache_max_size == -1:  # not set by the user
        _add_missing_access_times(directory)
        jax.config.update("jax_compilation_cache_max_size", _CACHE_BYTES)


def _add_missing_access_times(directory):
    """Adds the file with the time of last use to cached programs that lack it.

    JAX fails to save programs if one of them lacks it, which happens if the cache had
    no size limit or if a process was killed while saving.
    """
    for file in directory.glob("*-cache"):
        stamp = file.with_name(f"{file.name.removesuffix('-cache')}-atime")
        if not stamp.exists():
            with contextlib.suppress(OSError):
                stamp.write_bytes(file.stat().st_mtime_ns.to_bytes(8, "little"))


def _parse(commands, files, argv):
    """Parses flags like absl, but prints one line instead of a traceback."""
    try:
        argv, chosen = choices.from_flags(argv)
        sys.argv = argv  # where config_flags looks for overrides
        rest = flags.FLAGS(argv)
        given = rest[1:]
        if commands and not (given and given[0] in commands):
            raise UserError(f"missing command; choose one of: {', '.join(commands)}")
        if files and not given:
            raise UserError("missing file arguments")
        if not files and (stray := given[bool(commands) :]):
            raise UserError(
                f"unexpected argument {stray[0]!r}; options are --NAME=VALUE"
            )
        if "config" in flags.FLAGS:
            _require_config(flags.FLAGS["config"])
        for field, value in chosen:
            choices.override(flags.FLAGS.config, field, value)
        return rest
    except (Exception, KeyboardInterrupt) as error:
        # A config file is a program, which can raise anything.
        sys.exit(_print_error(flag_errors.line(error, argv), 2))
    except SystemExit as error:
        if where := flag_errors.place(error, argv):
            sys.exit(_print_error(f"{where}: the config file calls sys.exit", 2))
        raise


def _require_config(flag):
    """Checks that the flag's config file was found and gave a config."""
    if not flag.present:
        return
    if hasattr(flag.value, "_ReportError"):
        flag.value.keys()  # raises, because the file was not found
    if not isinstance(flag.value, ml_collections.ConfigDict):
        raise UserError(
            f"{config_flags.get_config_filename(flag)}: get_config() must return an "
            f"ml_collections.ConfigDict, but returned {str(flag.value)[:60]}"
        )


def _print_error(error, code):
    """Prints an error as one line with the program's name; returns the exit code."""
    path = pathlib.Path(sys.argv[0])
    program = path.parent if path.stem == "__main__" else path
    print(f"{program.stem}: {' '.join(str(error).split())}", file=sys.stderr)
    return code
