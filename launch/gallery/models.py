"""Trained runs for the page: which there are, and each loaded once."""

from collections.abc import Callable
import contextlib
import functools
import inspect
import pathlib
import threading
from typing import Any

import gradio as gr
import ml_collections

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import restore
from launch.report import runs

_KEPT = 24  # models at a time


class Shelf:
    """The runs of one kind below a root."""

    def __init__(
        self,
        root: pathlib.Path,
        suits: Callable[[Any], bool],
        make: Callable[[restore.Trained], Any],
        train: str,
    ):
        """Reads nothing yet.

        Args:
          root: Below which runs are.
          suits: Whether a run's config is of the kind.
          make: What is wanted of a trained run; called once for each.
          train: The command that makes such a run, for where there is none.
        """
        self.root, self.train, self._suits = root, train, suits
        self._lock = threading.Lock()

        @functools.lru_cache(_KEPT)
        def load(name, checkpoints):
            del checkpoints  # others, another model
            run = restore.load(runs.named(self.root, name).folder, tasks.make)
            return make(run)

        self._load = load

    def names(self) -> list[str]:
        """Of the runs that have a checkpoint, the latest first."""
        return [
            run.name
            for run in runs.find(self.root)
            if not run.is_damaged and self._is_ours(run) and _checkpoints(run)
        ]

    def get(self, name: str | None) -> Any:
        """What `make` gave of a run.

        Raises:
          UserError: where there is none of that name and kind.
        """
        if not name:
            raise UserError(f"no such run below {self.root.name}; try {self.train}")
        run = runs.named(self.root, name)
        if run.is_damaged or not self._is_ours(run):
            raise UserError(f"{name} is no run for this")
        with self._lock:
            return self._load(name, _checkpoints(run))

    def dropdown(self, **options) -> gr.Dropdown:
        """To choose one with; `choices` fills it."""
        return gr.Dropdown([], label="Run", **options)

    def choices(self, chosen: str | None) -> tuple[gr.Dropdown, str | None]:
        """What there is to choose now, and what is chosen of it: as before, if it can.

        Args:
          chosen: What was.
        """
        names = self.names()
        stays = chosen if chosen in names else next(iter(names), None)
        info = None if names else f"none yet: {self.train}"
        return gr.Dropdown(choices=names, value=stays, info=info), stays

    def _is_ours(self, run):
        try:
            return self._suits(ml_collections.ConfigDict(run.config))
        except Exception:  # a config of anything
            return False


def can(ability: str) -> Callable[[Any], bool]:
    """Whether a run with a config has an ability, by its name in `Abilities`."""
    return lambda config: getattr(tasks.abilities(config), ability) is not None


def told(function: Callable) -> Callable:
    """An event's handler whose UserErrors are shown to the visitor."""

    @contextlib.contextmanager
    def telling():
        try:
            yield
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    @functools.wraps(function)
    def guarded(*args):
        with telling():
            return function(*args)

    @functools.wraps(function)
    def guarded_generator(*args):
        with telling():
            yield from function(*args)

    return guarded_generator if inspect.isgeneratorfunction(function) else guarded


def _checkpoints(run):
    folder = run.folder / "checkpoints"
    if folder.is_symlink() or not folder.is_dir():
        return ()
    return tuple(sorted(path.name for path in folder.iterdir() if path.name.isdigit()))
