"""Checkpoints with Orbax: the newest few and the best, each known to be whole."""

from collections.abc import Sequence
import functools
import hashlib
import json
import logging as python_logging
import pathlib
import sys
from typing import Any

from absl import logging
import jax
import numpy as np
import orbax.checkpoint as ocp

from dlx import processes
from dlx.errors import UserError
from dlx.task import State


class Checkpoints:
    """The checkpoints of a run, saved asynchronously; use in a `with`.

    Beside the state each holds a description of its structure and a digest of its
    bytes, so that one of another network, or a damaged one, is told from a good one.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        metric: str,
        *,
        local: Sequence[str] = (),
        keep: int = 1,
        read_only=False,
    ):
        """Opens a folder, which need not exist.

        Args:
          directory: Where.
          metric: Name of the number that makes a checkpoint the best, the higher the
            better.
          local: Names of the state's fields that differ from device to device; of
            another number of devices they are not restored.
          keep: How many of the newest to keep.
          read_only: Whether nothing is to be saved, removed or tidied.
        """
        self._metric = metric
        self._local = tuple(local)
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
            "sha256": processes.gathered(digest(state)),
            "processes": jax.process_count(),
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
          (step, state, notes), or None where there is no checkpoint at all. Local
          fields are None where there were more or fewer devices.

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
        args = ocp.args.Composite(about=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args).about

    def _restore(self, step, abstract):
        about = self._about(step)
        other = []  # fields of another number of devices
        for path, wanted in structure(abstract).items():
            found = about["structure"].get(path, "nothing")
            if found == wanted:
                continue
            field = path.split(".")[0]
            if field not in self._local or found == "nothing":
                raise UserError(
                    f"checkpoint {step} in {self._manager.directory} holds another "
                    f"network or game: {path} is {found} there, {wanted} by this config"
                )
            if field not in other:
                other.append(field)
        tree = _as_saved(abstract, other, about["structure"])
        args = ocp.args.Composite(state=ocp.args.StandardRestore(tree))
        state = self._manager.restore(step, args=args).state
        # What several processes have saved only as many can digest.
        same = about.get("processes", 1) == jax.process_count()
        if same and processes.gathered(digest(state)) != about["sha256"]:
            raise ValueError("its bytes are not those that were saved")
        if other:
            fields = ", ".join(other)
            logging.warning("another number of devices: %s begin anew", fields)
            state = state.replace(**dict.fromkeys(other))
        return state, about["notes"]


def _as_saved(abstract, fields, kinds):
    """Some fields' leaves in the shapes that were saved, on every device whole."""

    def leaf(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name.split(".")[0] not in fields:
            return leaf
        dtype, shape = kinds[name].rstrip("]").split("[")
        spec = jax.sharding.PartitionSpec()
        sharding = jax.sharding.NamedSharding(leaf.sharding.mesh, spec)
        return jax.ShapeDtypeStruct(json.loads(f"[{shape}]"), dtype, sharding=sharding)

    return jax.tree_util.tree_map_with_path(leaf, abstract)


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
    """SHA-256, in hex, over the paths, dtypes, shapes and bytes of a tree's arrays.

    Of what other processes hold, only this one's part.
    """
    sha256 = hashlib.sha256()
    arrays = map(_here, jax.tree.leaves(tree))
    for (path, kind), array in zip(structure(tree).items(), arrays, strict=True):
        sha256.update(f"{path} {kind}".encode())
        sha256.update(np.ascontiguousarray(array))
    return sha256.hexdigest()


def _here(array):
    """An array, or what this process holds of it, on the host."""
    if getattr(array, "is_fully_addressable", True):
        return jax.device_get(array)
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start)
    return np.concatenate([np.asarray(shard.data) for shard in shards])
