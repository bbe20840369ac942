"""Cache of loaded models."""

from collections.abc import Callable
import contextlib
import functools
import inspect
import math
import pathlib
import threading
from typing import Any

import gradio as gr
import ml_collections

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import restore

from ..report import runs

_CACHED = 24  # models in memory

# Options of the handlers of inputs and selections. By default Gradio drops an event
# while the last one is handled, and the page goes on showing an older choice.
LATEST = {"show_progress": "hidden", "trigger_mode": "always_last"}


class Models:
    """The trained models of one kind below a root folder, each loaded once.

    Attributes:
      root: The folder that contains the runs.
      train: The command that trains a model of this kind.
    """

    def __init__(
        self,
        root: pathlib.Path,
        accepts: Callable[[Any], bool],
        make: Callable[[restore.Trained], Any],
        train: str,
    ):
        """Prepares the cache; reads nothing yet.

        Args:
          root: See the attribute.
          accepts: Config of a run -> whether its model is of this kind.
          make: Trained run -> model. Called once for each run.
          train: See the attribute.
        """
        self.root, self.train, self._accepts = root, train, accepts
        self._lock = threading.Lock()

        @functools.lru_cache(_CACHED)
        def load(name, checkpoints):
            del checkpoints  # `checkpoints` is part of the key: new ones are loaded
            run = restore.load(runs.named(self.root, name).folder, tasks.make)
            return make(run)

        self._load = load

    def names(self) -> list[str]:
        """Names of the runs that have a checkpoint, the latest first."""
        return [
            run.name
            for run in runs.find(self.root)
            if not run.is_damaged and self._is_accepted(run) and _checkpoints(run)
        ]

    def get(self, name: str | None) -> Any:
        """Returns the model of a run, loaded if necessary.

        Raises:
          UserError: if there is no run of that name and kind.
        """
        if not name:
            raise UserError(
                f"{self.root.name} has no run of this kind; train one: {self.train}"
            )
        run = runs.named(self.root, name)
        if run.is_damaged or not self._is_accepted(run):
            raise UserError(f"{name} is not a run of this kind")
        with self._lock:
            return self._load(name, _checkpoints(run))

    def dropdown(self, **options) -> gr.Dropdown:
        """Creates a dropdown of runs; `choices` fills it."""
        return gr.Dropdown([], label="Run", **options)

    def choices(self, selected: str | None) -> tuple[gr.Dropdown, str | None]:
        """Updates a dropdown of runs.

        Args:
          selected: The dropdown's value.

        Returns:
          The update, and the new value: `selected` if it still exists, else the latest
          run, if any.
        """
        names = self.names()
        value = selected if selected in names else next(iter(names), None)
        return gr.Dropdown(choices=names, value=value, info=self.hint(names)), value

    def hint(self, names: list[str]) -> str | None:
        """A text that says how to train a model; None if there are models."""
        return None if names else f"no runs; train one: {self.train}"

    def _is_accepted(self, run):
        try:
            return self._accepts(ml_collections.ConfigDict(run.config))
        except Exception:  # the config may hold anything
            return False


def can(ability: str) -> Callable[[Any], bool]:
    """Returns a function: config -> whether its runs have an ability of `Abilities`."""
    return lambda config: getattr(tasks.abilities(config), ability) is not None


def show_user_errors(function: Callable) -> Callable:
    """Wraps an event handler: the visitor sees the messages of its UserErrors."""

    @contextlib.contextmanager
    def as_gradio_errors():
        try:
            yield
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    @functools.wraps(function)
    def wrapped(*args):
        with as_gradio_errors():
            _require_finite(args)
            return function(*args)

    @functools.wraps(function)
    def wrapped_generator(*args):
        with as_gradio_errors():
            _require_finite(args)
            yield from function(*args)

    return wrapped_generator if inspect.isgeneratorfunction(function) else wrapped


def _require_finite(values):
    """Raises UserError if a number is not finite; Gradio checks all else."""
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise UserError("a number is not finite")


def _checkpoints(run):
    """The names of a run's checkpoints."""
    folder = run.folder / "checkpoints"
    if folder.is_symlink() or not folder.is_dir():
        return ()
    return tuple(sorted(path.name for path in folder.iterdir() if path.name.isdigit()))
