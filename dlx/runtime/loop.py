"""The training loop, the same for every task.

In its workdir a run leaves config.json, metrics.jsonl, tensorboard/, checkpoints/,
figures/ and summary.json; BUILD.md says what each holds.
"""

import collections
import contextlib
import functools
import importlib.metadata
import math
import pathlib
import re
import signal
import sys
import time
from typing import Any

from absl import logging
import jax
import numpy as np

from dlx import figures, streams
from dlx.errors import DivergedError, UserError, require_positive
from dlx.runtime import devices, processes, profiling, signals
from dlx.runtime import rundir as folders
from dlx.runtime.checkpoint import Checkpoints, digest
from dlx.runtime.task import State, Task
from dlx.runtime.writers import Writers, numbers, read_lines, to_json, write_whole


class Keys:
    """The keys of a run, by what they are for; all follow from `config.seed`."""

    def __init__(self, seed: int):
        self.init, self.steps, self._evaluate, self._figures = (
            streams.key(seed, purpose)
            for purpose in ("init", "steps", "evaluation", "figures")
        )

    def evaluate(self, step: int) -> jax.Array:
        return jax.random.fold_in(self._evaluate, step)

    def figures(self, step: int) -> jax.Array:
        return jax.random.fold_in(self._figures, step)


def open_checkpoints(task: Task, workdir: pathlib.Path, **options) -> Checkpoints:
    """The checkpoints of a run, for a `with`; options as for `Checkpoints`."""
    folder, metric = workdir / "checkpoints", f"eval/{task.metric}"
    return Checkpoints(folder, metric, local=task.local, **options)


def evaluate(task: Task, keys: Keys, step: int, state: State) -> dict[str, float]:
    """What the task measures on a state: {'eval/NAME': number}, on one device.

    Warns if a number is not finite.
    """
    metrics = task.evaluate(devices.first_copy(task, state), keys.evaluate(step))
    numbers = {f"eval/{name}": float(n) for name, n in jax.device_get(metrics).items()}
    wrong = [f"{name} is {n}" for name, n in numbers.items() if not math.isfinite(n)]
    if wrong:
        logging.warning("step %d: %s", step, ", ".join(wrong))
    return numbers


def train(
    task: Task,
    config,
    workdir: pathlib.Path,
    *,
    name: str,
    resume: bool = True,
    profile: bool = False,
) -> dict[str, Any]:
    """Trains from the workdir's newest checkpoint, or from nothing, to the end.

    SIGTERM, SIGINT or SIGHUP ends a run early, with its state saved; a second one ends
    the process at once. Every state is saved before it is evaluated, and an evaluation
    that was cut short is made when the run is resumed.

    Args:
      task: What to train.
      config: Its config; of it the loop reads seed, num_steps, log_steps, eval_steps,
        checkpoint_steps and keep_checkpoints.
      workdir: The run's folder; made if need be.
      name: The run's name, for people.
      resume: Whether a workdir that holds a run is to go on; otherwise it is refused.
      profile: Whether to leave profile/: a trace of the second call of the program that
        trains, and report.txt, where time and memory went.

    Returns:
      What summary.json says; its 'status' is 'done', or 'preempted' with a 'signal'.

    Raises:
      UserError: where config and workdir do not fit; nothing has been changed then.
      DivergedError: where a metric of training is not finite; status 'failed'.
    """
    _require_schedule(config)
    folders.require_own(workdir, config, resume)
    run = _Run(task, config, workdir, name, profile)
    saved = functools.partial(folders.saved, workdir)
    with signals.caught(saved) as stop, run, processes.together():
        run.start()
        try:
            run.compile()
            if run.step:
                run.log()  # an earlier start may have been cut from it
            # All processes ask as often, whether they have been interrupted or not.
            while not (ended := processes.anywhere(bool(stop))) and not run.is_at_end:
                run.advance()
            run.finish(ended, stop)
        except BaseException:
            run.summarize("failed")
            raise
    return run.summary


class _Run(contextlib.ExitStack):
    """A run under way: where it stands, and everything that it writes to."""

    def __init__(self, task, config, workdir, name, profile):
        super().__init__()
        self.task, self.config, self.workdir, self.name = task, config, workdir, name
        self.first = processes.first()  # which writes; the others do all the rest
        self.keys = Keys(config.seed)
        self.seconds = collections.defaultdict(float)
        self.began = time.monotonic()
        self.profile = workdir / "profile" if profile else None
        self.step, self.state, self.calls = 0, None, 0
        self.saved, self.line, self.evaluation = None, {}, {}

    @property
    def is_at_end(self) -> bool:
        return self.step >= self.config.num_steps

    @property
    def is_to_be_evaluated(self) -> bool:
        return self.is_at_end or self.step % self.config.eval_steps == 0

    def start(self):
        """Takes up the newest checkpoint or makes a first state; opens all files."""
        if self.first:
            self.enter_context(folders.lock(self.workdir))
        self.checkpoints = self.enter_context(
            open_checkpoints(self.task, self.workdir, keep=self.config.keep_checkpoints)
        )
        restored = self.checkpoints.restore(devices.abstract(self.task, self.keys.init))
        if restored:
            self.step, self.state, notes = restored
            _require_whole_calls(self.step, self.config)
            self.state = devices.with_local(self.task, self.state, self.keys.init)
            self.saved = self.step
            self.line, self.evaluation = (
                numbers(notes.get(name, {})) for name in ("line", "evaluation")
            )
            self.seconds["train"] = notes["train_seconds"]
            if self.task.batches:
                self.task.batches.restore(notes["batches"])
            if self.first:
                folders.warn_of_changes(self.workdir, self.config)
        else:
            self.state = devices.init(self.task, self.keys.init)
        self.trained = self.seconds["train"]  # before this start
        if not self.first:
            self.writers = None
            return
        text = to_json(self.config.to_dict(), indent=2) + "\n"
        write_whole(self.workdir / "config.json", text)
        self.writers = self.enter_context(
            Writers(
                self.workdir,
                self.name,
                (
                    f"eval/{self.task.metric}",
                    *(f"train/{name}" for name in self.task.shown),
                ),
                self.step,
                self.config.num_steps,
            )
        )
        self.summarize("running")

    def compile(self):
        """Makes the one program that trains."""
        self.device_keys = devices.device_keys(self.keys.steps)
        self.next_source()
        with self.timed("compile"):
            steps = self.train_steps(self.config.log_steps)
            self.steps = devices.compiled(
                steps, self.state, self.source, self.device_keys
            )
        if self.profile:
            one = self.train_steps(1)
            lowered = one.lower(self.state, self.source, self.device_keys)
            self.flops = profiling.flops(lowered)

    def train_steps(self, number):
        way = self.config.get("parallel", devices.DEFAULT)
        return devices.train_steps(self.task, self.state, number, way)

    def next_source(self):
        """Reads ahead: what the next call trains on, and where reading then stood."""
        batches = self.task.batches
        self.reading = batches and batches.save()
        self.source = batches and batches.source(self.config.log_steps)

    def advance(self):
        """Trains for `log_steps`; then saves, and evaluates, if that is due."""
        self.calls += 1
        traced = self.profile and self.first and self.calls == 2
        with self.timed("train"), profiling.trace(self.profile, traced):
            self.state, metrics = self.steps(self.state, self.source, self.device_keys)
            with self.timed("input"):
                self.next_source()
            metrics = jax.device_get(metrics)
        _require_finite(metrics, self.step)
        self.step += self.config.log_steps
        self.line = {f"train/{key}": float(np.mean(m)) for key, m in metrics.items()}
        self.line["train_seconds"] = round(self.seconds["train"], 6)
        is_due = self.step % self.config.checkpoint_steps == 0
        if is_due or self.is_to_be_evaluated:
            self.save()
        self.log()

    def log(self):
        """Writes the line of this step, with the evaluation that is due."""
        known = self.checkpoints.metrics(self.step)
        if self.is_to_be_evaluated and processes.anywhere(known is None):
            known = self.evaluate()
        self.evaluation = known or self.evaluation
        if self.writers:
            self.writers.write(self.step, self.line | (known or {}))

    def evaluate(self):
        """Evaluates the state that was saved; None if a signal interrupts it."""
        try:
            with signals.interrupting():
                with self.timed("evaluate"):
                    found = evaluate(self.task, self.keys, self.step, self.state)
                if self.task.frames and self.first:
                    with self.timed("figures"):
                        self.draw_frames()
        except signals.Interrupted:
            return None
        self.checkpoints.evaluated(self.step, found)
        return found

    def save(self):
        notes = {
            "train_seconds": self.seconds["train"],
            "batches": self.reading,
            "line": self.line,
            "evaluation": self.evaluation,  # the latest one
        }
        if self.first:
            folders.require_space(self.workdir, self.state, self.saved)
        with self.timed("checkpoint"):
            self.checkpoints.save(self.step, self.state, None, notes)
        self.saved = self.step

    def finish(self, ended, stop):
        """Saves; draws, unless a signal has ended the run; and writes the summary."""
        if self.saved != self.step:
            self.save()
        processes.require_same("parameters", digest(self.state.params))
        if not ended and self.first:
            try:
                with signals.interrupting(), self.timed("figures"):
                    self.draw()
            except signals.Interrupted:
                ended = True
        if ended:  # perhaps by a signal to another process
            self.summarize("preempted", signal=stop[0] if stop else signal.SIGTERM)
        else:
            self.summarize("done")
        if self.profile and self.first:
            self.report()

    def report(self):
        """Of this start of the run alone."""
        wall, steps = time.monotonic() - self.began, self.calls * self.config.log_steps
        seconds = self.seconds | {"train": self.seconds["train"] - self.trained}
        text = profiling.report(seconds, wall, self.flops, steps, self.profile)
        self.profile.mkdir(exist_ok=True)
        write_whole(self.profile / "report.txt", text)

    def draw_frames(self):
        state = devices.first_copy(self.task, self.state)
        for name, frame in self.task.frames(state, self.keys.figures(0)).items():
            folder = self.workdir / "figures" / name
            figures.save(folder, f"{self.step:09}", frame)

    def draw(self):
        state = devices.first_copy(self.task, self.state)
        for folder in (self.workdir / "figures").glob("*/"):
            figures.join(folder)
        pictures = self.task.figures(state, self.keys.figures(self.step))
        pictures["learning_curve"] = _learning_curve(self.workdir / "metrics.jsonl")
        for name, picture in pictures.items():
            figures.save(self.workdir / "figures", name, picture)

    def summarize(self, status, **why):
        counts = {count: self.step * n for count, n in self.task.counts.items()}
        self.summary = {
            "task": self.config.task,
            "config": self.name,
            "status": status,
            **why,
            "step": self.step,
            "seed": self.config.seed,
            "metric": self.task.metric,
            "about": self.task.about,
            "compile_seconds": round(self.seconds["compile"], 3),
            "train_seconds": round(self.seconds["train"], 3),
            "wall_seconds": round(time.monotonic() - self.began, 3),
            **counts,
            "devices": jax.device_count(),
            "processes": jax.process_count(),
            "device_kind": jax.devices()[0].device_kind,
            "versions": _versions(),
            "params_sha256": (
                None if status in ("failed", "running") else digest(self.state.params)
            ),
            "metrics": {
                name.removeprefix("eval/"): n for name, n in self.evaluation.items()
            },
        }
        text = to_json(self.summary, indent=2) + "\n"
        if self.first:
            write_whole(self.workdir / "summary.json", text)

    @contextlib.contextmanager
    def timed(self, what):
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] += time.monotonic() - began


def _require_schedule(config):
    """A seed that makes a key; lengths positive, in whole numbers of `log_steps`."""
    if not 0 <= config.seed < 2**32:
        raise UserError(f"config.seed must be in 0 ... 2**32 - 1, got {config.seed}")
    lengths = "num_steps", "eval_steps", "checkpoint_steps"
    require_positive(config, "log_steps", "keep_checkpoints", *lengths)
    for length in lengths:
        if config[length] % config.log_steps:
            raise UserError(
                f"config.{length}={config[length]} is not a multiple of "
                f"config.log_steps={config.log_steps}, which is how far one call trains"
            )


def _require_whole_calls(step, config):
    if step % config.log_steps:
        raise UserError(
            f"the checkpoint is of step {step}, which is not a multiple of "
            f"config.log_steps={config.log_steps}, which is how far one call trains"
        )


def _require_finite(metrics, step):
    """Raises where a metric of the steps after `step`, [steps] each, is not finite."""
    wrong = {name: ~np.isfinite(values) for name, values in metrics.items()}
    steps = np.any(list(wrong.values()), axis=0)
    if steps.any():
        first = np.argmax(steps)
        name = next(n for n in ("loss", *wrong) if wrong[n][first])
        raise DivergedError(
            f"{name} is {metrics[name][first]} at step {step + first + 1}; the last "
            "good checkpoint is kept (a lower learning rate may help)"
        )


def _learning_curve(path):
    """Losses and accuracies of training, and what evaluations have measured, by step.

    Of the latter, what ever changed.
    """
    lines = read_lines(path)
    panels = collections.defaultdict(dict)
    for name in lines[-1]:
        kind, *words = re.split("[/_]", name)
        trained = [word for word in ("loss", "accuracy") if word in words]
        if not (kind == "eval" or (kind == "train" and trained)):
            continue
        points = [(line["step"], line[name]) for line in lines if name in line]
        x, y = zip(*points, strict=True)
        if kind == "train":
            panels[f"train/{trained[0]}"][name] = (x, y)
        elif len(set(y)) > 1:
            what = "/".join(name.split("/")[:2])  # of an ensemble, less the seed
            panels[what][name] = (x, y)
    return figures.curves(panels, xlabel="step", columns=4)


def _versions():
    packages = "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python} | {p: importlib.metadata.version(p) for p in packages}
