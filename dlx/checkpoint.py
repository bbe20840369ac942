"""Checkpoints with Orbax: the newest few and the best, each known to be whole."""

import functools
import hashlib
import logging as python_logging
import pathlib
import sys
from typing import Any

from absl import logging
import jax
import numpy as np
import orbax.checkpoint as ocp

from dlx.errors import UserError
from dlx.task import State


class Checkpoints:
    """The checkpoints of a run, saved asynchronously; use in a `with`.

    Beside the state each holds a description of its structure and a digest of its
    bytes, so that one of another network, or a damaged one, is told from a good one.
    """

    def __init__(
        self, directory: pathlib.Path, metric: str, *, keep: int = 1, read_only=False
    ):
        """Opens a folder, which need not exist.

        Args:
          directory: Where.
          metric: Name of the number that makes a checkpoint the best, the higher the
            better.
          keep: How many of the newest to keep.
          read_only: Whether nothing is to be saved, removed or tidied.
        """
        self._metric = metric
        self._keep = keep
        self._read_only = read_only
        self._manager = ocp.CheckpointManager(
            directory.absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=self,
                create=not read_only,
                cleanup_tmp_directories=not read_only,
            ),
        )
        self._scores = {step: self._read_score(step) for step in self.steps()}

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        """Which checkpoints to keep, as Orbax asks: the newest few and the best."""
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*steps[-self._keep :], max(steps, key=self._score)}
        return [step in kept for step in steps]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._manager.close()

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        return sorted(self._manager.all_steps())

    def save(
        self,
        step: int,
        state: State,
        metrics: dict[str, float] | None,
        notes: dict[str, Any],
    ) -> None:
        """Starts to save; waits for an earlier save first.

        Args:
          step: Where training stands.
          state: Its state.
          metrics: What an evaluation of this state has given, if there was one.
          notes: What `restore` shall give back beside the state, as JSON.
        """
        about = {
            "structure": structure(state),
            "sha256": digest(state),
            "metrics": metrics or {},
            "notes": notes,
        }
        self._scores[step] = about["metrics"].get(self._metric)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about)
        )
        self._manager.save(step, args=args)

    def restore(
        self, abstract: State, *, best: bool = False
    ) -> tuple[int, State, dict[str, Any]] | None:
        """The newest whole checkpoint, or the best one.

        A damaged one is passed over, which is said in one line. Where it is in the way
        of saving anew, it is removed.

        Args:
          abstract: Shapes, dtypes and shardings, from `parallel.abstract`.
          best: Whether to look for the best by the metric, not for the newest.

        Returns:
          (step, state, notes), or None where there is no checkpoint at all.

        Raises:
          UserError: where a checkpoint is of another structure, or all are damaged.
        """
        _ignore_abandoned_reads()
        damaged = []
        order = self._score if best else None
        for step in sorted(self.steps(), key=order, reverse=True):
            try:
                state, notes = self._restore(step, abstract)
            except UserError:
                raise
            except Exception as error:  # whatever Orbax meets in damaged files
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                logging.warning("checkpoint %d is damaged: %.100s", step, reason)
                damaged.append(step)
                continue
            if damaged:
                logging.warning("going on from checkpoint %d", step)
            if not self._read_only:
                for newer in (bad for bad in damaged if bad > step):
                    self._manager.delete(newer)
            return step, state, notes
        if damaged:
            raise UserError(
                f"every checkpoint in {self._manager.directory} is damaged; "
                "give another --workdir to start anew"
            )
        return None

    def _score(self, step):
        """What orders checkpoints, worst first; of equals the newest is the best."""
        score = self._scores.get(step)
        return float("-inf") if score is None else score, step

    def _read_score(self, step):
        try:
            return self._about(step)["metrics"].get(self._metric)
        except Exception:  # damaged, of which `restore` will tell
            return None

    def _about(self, step):
        json = ocp.args.Composite(about=ocp.args.JsonRestore())
        return self._manager.restore(step, args=json).about

    def _restore(self, step, abstract):
        about = self._about(step)
        for path, wanted in structure(abstract).items():
            found = about["structure"].get(path, "nothing")
            if found != wanted:
                raise UserError(
                    f"checkpoint {step} in {self._manager.directory} holds another "
                    f"network or game: {path} is {found} there, {wanted} by this config"
                )
        tree = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        state = self._manager.restore(step, args=tree).state
        if digest(state) != about["sha256"]:
            raise ValueError("its bytes are not those that were saved")
        return state, about["notes"]


@functools.cache  # once is enough: the hook stays
def _ignore_abandoned_reads():
    """Keeps asyncio from printing what becomes of reads given up on a damaged file.

    As one file fails, Orbax closes the event loop on which the others still report.
    """
    python_logging.getLogger("asyncio").setLevel(python_logging.CRITICAL)
    usual = sys.unraisablehook

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            usual(unraisable)

    sys.unraisablehook = hook


def structure(tree: Any) -> dict[str, str]:
    """What a tree is made of: {path: 'float32[256,128]'}, for arrays or abstract."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): (
            f"{leaf.dtype}{list(leaf.shape)}"
        )
        for path, leaf in leaves
    }


def digest(tree: Any) -> str:
    """SHA-256, in hex, over the paths, dtypes, shapes and bytes of a tree's arrays."""
    sha256 = hashlib.sha256()
    arrays = jax.tree.leaves(jax.device_get(tree))
    for (path, kind), array in zip(structure(tree).items(), arrays, strict=True):
        sha256.update(f"{path} {kind}".encode())
        sha256.update(np.ascontiguousarray(array))
    return sha256.hexdigest()
