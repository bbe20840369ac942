"""Checkpoints with Orbax: the newest few and the best, each with a digest."""

from collections.abc import Sequence
import hashlib
import json
import math
import pathlib
from typing import Any

from absl import logging
import jax
import orbax.checkpoint as ocp

from dlx import paths
from dlx.errors import UserError
from dlx.runtime import digests, processes, reader
from dlx.runtime.reader import DamagedError
from dlx.runtime.task import State, Task
from dlx.runtime.writers import finite, numbers, to_json, write_whole

_DESCRIPTION = {"structure", "sha256", "processes", "notes"}


class Checkpoints:
    """A run's checkpoints, saved asynchronously; use in a `with`.

    Each holds the state, a description of its structure, which detects another network,
    and a digest of its bytes, which detects damage. The evaluation of the state is
    added later, in a separate file.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        metric: str | None,
        *,
        local: Sequence[str] = (),
        keep: int = 1,
        read_only=False,
    ):
        """Opens a folder, which need not exist.

        Args:
          directory: The folder.
          metric: The metric that selects the best checkpoint; higher is better. With
            None the newest is the best.
          local: Names of the state's fields that differ between devices. They are not
            restored on another number of devices.
          keep: The number of newest checkpoints to keep.
          read_only: Whether nothing is ever saved, moved or removed.
        """
        self._directory = directory.absolute()
        self._metric = metric
        self._local = tuple(local)
        self._keep = keep
        self._read_only = read_only
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=self,
                create=not read_only,
                cleanup_tmp_directories=not read_only,
            ),
        )
        self._evaluations = {step: self._read_metrics(step) for step in self.steps()}

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        """Tells Orbax which checkpoints to keep: the newest few and the best."""
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        preserved = {*steps[-self._keep :], max(steps, key=self._score)}
        return [step in preserved for step in steps]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._manager.close()

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        return sorted(self._manager.all_steps())

    def save(
        self,
        step: int,
        state: State,
        metrics: dict[str, float] | None,
        notes: dict[str, Any],
    ) -> None:
        """Waits for an earlier save, then starts to save.

        Args:
          step: The number of steps trained.
          state: The state.
          metrics: The evaluation of this state; None if `evaluated` adds it later.
          notes: JSON data that `restore` returns beside the state.
        """
        about = {
            "structure": digests.structure(state),
            "sha256": processes.gathered(digests.digest(state)),
            "processes": jax.process_count(),
            "notes": notes,
        }
        about = finite(about)
        about["check"] = _check(about)
        self._evaluations[step] = metrics
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about)
        )
        self._manager.save(step, args=args)
        if metrics is not None:
            self.evaluated(step, metrics)

    def evaluated(self, step: int, metrics: dict[str, float]) -> None:
        """Adds an evaluation to the checkpoint of a step when it has been saved."""
        self._manager.wait_until_finished()
        self._evaluations[step] = metrics
        if processes.first():
            write_whole(self._metrics_path(step), to_json(metrics) + "\n")

    def metrics(self, step: int) -> dict[str, float] | None:
        """The evaluation of a checkpoint; None if there is none."""
        return self._evaluations.get(step)

    def restore(
        self, abstract: State, *, best: bool = False
    ) -> tuple[int, State, dict[str, Any]] | None:
        """Restores the newest undamaged checkpoint, or the best one.

        A damaged checkpoint is skipped with a warning. If it is newer than the restored
        one, it would be in the way of new ones, and is moved to damaged/.

        Args:
          abstract: Shapes, dtypes and shardings, from `devices.abstract`.
          best: Whether to restore the best by the metric, not the newest.

        Returns:
          (step, state, notes), or None if there is no checkpoint. Local fields are None
          if the number of devices has changed.

        Raises:
          UserError: if a checkpoint has another structure, or all are damaged.
          OSError, MemoryError, ...: if a checkpoint cannot be read now.
        """
        damaged = []
        order = self._score if best else None
        for step in sorted(self.steps(), key=order, reverse=True):
            try:
                state, notes = self._restore(step, abstract)
            except DamagedError as error:
                logging.warning("checkpoint %d is damaged: %.100s", step, error)
                damaged.append(step)
                continue
            if damaged:
                logging.warning("resuming from checkpoint %d", step)
            if not self._read_only:
                self._set_aside([newer for newer in damaged if newer > step])
            return step, state, notes
        if damaged:
            raise UserError(
                f"every checkpoint in {self._directory} is damaged; "
                "give another --workdir to start again"
            )
        return None

    def _set_aside(self, steps):
        """Moves checkpoints to damaged/, where Orbax does not see them."""
        for step in steps:
            if processes.first():
                folder = self._directory / "damaged"
                folder.mkdir(exist_ok=True)
                moved = folder / f"{step}-{len(list(folder.glob(f'{step}-*')))}"
                (self._directory / str(step)).rename(moved)
                logging.warning("checkpoint %d is now %s", step, moved)
            self._evaluations.pop(step, None)
        if processes.anywhere(bool(steps)):  # every process waits for the first here
            self._manager.reload()

    def _score(self, step):
        """The sort key, worst first; the newest of equal checkpoints is best."""
        score = (self._evaluations.get(step) or {}).get(self._metric)
        known = score is not None and math.isfinite(score)
        return score if known else float("-inf"), step

    def _metrics_path(self, step):
        return self._directory / str(step) / "evaluation.json"

    def _read_metrics(self, step):
        try:
            return numbers(json.loads(paths.read_text(self._metrics_path(step))))
        except FileNotFoundError:
            return self._older_metrics(step)
        except (OSError, ValueError):
            return None  # it will be evaluated again

    def _older_metrics(self, step):
        """The evaluation that version 0.1.0 kept in a checkpoint's description."""
        try:
            return _description(self._directory / str(step))["metrics"]
        except (OSError, DamagedError, LookupError):
            return None  # not evaluated, or damaged, which `restore` reports

    def _restore(self, step, abstract):
        folder, damage = self._directory / str(step), None
        try:
            about = _description(folder)
            other = self._fields_of_other_devices(step, abstract, about["structure"])
            tree = _as_saved(abstract, other, about["structure"])
            state = reader.read(folder, state=ocp.args.StandardRestore(tree)).state
        except DamagedError as error:
            damage = str(error)
        if processes.anywhere(damage is not None):
            raise DamagedError(damage or "another process found damage")
        # The digest needs the number of processes that saved the checkpoint.
        same = about["processes"] == jax.process_count()
        if same and processes.gathered(digests.digest(state)) != about["sha256"]:
            raise DamagedError("its bytes differ from the saved ones")
        if other:
            fields = ", ".join(other)
            logging.warning(
                "the number of devices or of environments changed: %s start again",
                fields,
            )
            state = state.replace(**dict.fromkeys(other))
        return state, about["notes"]

    def _fields_of_other_devices(self, step, abstract, saved):
        """Returns the local fields that another number of devices saved.

        Raises UserError if anything else differs.
        """
        wanted, other = digests.structure(abstract), []
        for path in wanted | saved:
            now, before = wanted.get(path, "nothing"), saved.get(path, "nothing")
            if now == before:
                continue
            field = path.split(".")[0]
            if field not in self._local or "nothing" in (now, before):
                raise UserError(
                    f"checkpoint {step} in {self._directory} holds another network or "
                    f"game: {path} is {before} there, {now} by this config"
                )
            if field not in other:
                other.append(field)
        return other


def of_run(task: Task, workdir: pathlib.Path, **options) -> Checkpoints:
    """Opens a run's checkpoints, for a `with`; options are those of `Checkpoints`."""
    folder = workdir / "checkpoints"
    metric = f"eval/{task.metric}" if task.selects else None
    return Checkpoints(folder, metric, local=task.local, **options)


def _description(folder):
    """Reads a checkpoint's description; raises DamagedError if it is wrong."""
    about = reader.read(folder, about=ocp.args.JsonRestore()).about
    if not isinstance(about, dict) or not about.keys() >= _DESCRIPTION:
        raise DamagedError("its description is incomplete")
    older = "metrics" in about  # version 0.1.0's, which had no checksum
    if not older and about.pop("check", None) != _check(about):
        raise DamagedError("its description differs from the saved one")
    return about


def _check(about):
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _as_saved(abstract, fields, kinds):
    """Gives the leaves of some fields their saved shapes, replicated on all devices."""

    def leaf(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name.split(".")[0] not in fields:
            return leaf
        dtype, shape = kinds[name].rstrip("]").split("[")
        spec = jax.sharding.PartitionSpec()
        sharding = jax.sharding.NamedSharding(leaf.sharding.mesh, spec)
        return jax.ShapeDtypeStruct(json.loads(f"[{shape}]"), dtype, sharding=sharding)

    return jax.tree_util.tree_map_with_path(leaf, abstract)
