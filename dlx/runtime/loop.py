"""The training loop, the same for every task.

In its workdir a run leaves config.json, metrics.jsonl, tensorboard/, checkpoints/,
figures/ and summary.json; BUILD.md says what each holds.
"""

from collections.abc import Sequence
import contextlib
import functools
import pathlib
import signal
from typing import Any

import jax
import numpy as np

from dlx import streams
from dlx.runtime import (
    checkpoint,
    checks,
    devices,
    digests,
    memory,
    processes,
    profiling,
    run_figures,
    rundir,
    signals,
    trackers,
)
from dlx.runtime.evaluate import evaluate
from dlx.runtime.summary import Summary
from dlx.runtime.task import Task
from dlx.runtime.writers import Writers, numbers


def train(
    task: Task,
    config,
    workdir: pathlib.Path,
    *,
    name: str,
    resume: bool = True,
    profile: bool = False,
    began: float | None = None,
    tracker: Sequence[str] = trackers.DEFAULT,
) -> dict[str, Any]:
    """Trains to the end, from the workdir's newest checkpoint or from the start.

    SIGTERM, SIGINT or SIGHUP ends a run early, with its state saved; a second signal
    ends the process at once. Every state is saved before it is evaluated, and an
    evaluation that was cut short is made when the run is resumed.

    Args:
      task: The task.
      config: Its config. The loop reads seed, num_steps, log_steps, eval_steps,
        checkpoint_steps, keep_checkpoints and, if it is there, parallel.
      workdir: The run's folder; it is made if it is missing.
      name: The run's name, as people read it.
      resume: Whether to resume a run that the workdir holds. If not, it is refused.
      profile: Writes profile/: a trace of the second call of the training program, and
        report.txt, a table of time and memory.
      began: `time.monotonic()` when the command began; by default now.
      tracker: The names of the trackers that get the numbers, of `trackers`.

    Returns:
      The contents of summary.json. 'status' is 'done', or 'preempted' with a 'signal'.

    Raises:
      UserError: if config and workdir do not fit; nothing has been changed then.
      DivergedError: if a training metric is not finite; the status is 'failed'.
    """
    checks.require_schedule(config)
    rundir.require_own(workdir, config, resume)
    run = _Run(task, config, workdir, name, profile, began, tracker)
    saved = functools.partial(rundir.saved, workdir)
    with signals.caught(saved) as stop, run, processes.together():
        run.start()
        try:
            run.compile()
            if run.step:
                run.log()  # an earlier start may have been killed before this line
            # All processes call `anywhere` equally often, interrupted or not.
            while not (ended := processes.anywhere(bool(stop))) and run.is_unfinished:
                run.advance()
            run.finish(ended, stop)
        except BaseException:
            run.summarize("failed")
            raise
    return run.summary.fields


class _Run(contextlib.ExitStack):
    """A run under way: its state, and the files that it writes to."""

    def __init__(self, task, config, workdir, name, profile, began, tracker):
        super().__init__()
        self.task, self.config, self.workdir, self.name = task, config, workdir, name
        self.tracked = config.num_steps, config.to_dict(), tracker
        self.first = processes.first()  # the process that writes
        self.keys = streams.Keys(config.seed)
        self.data = task.batches and task.batches.digest()
        self.seconds = profiling.Stopwatch(began)
        self.profiler = profiling.Profiler(workdir / "profile") if profile else None
        self.summary = Summary(task, config, workdir, name, self.seconds, self.data)
        self.step, self.state, self.saved = 0, None, None
        self.line, self.evaluation = {}, {}  # the latest ones

    @property
    def is_unfinished(self) -> bool:
        return self.step < self.config.num_steps

    @property
    def is_to_be_evaluated(self) -> bool:
        return not self.is_unfinished or self.step % self.config.eval_steps == 0

    def start(self):
        """Restores the newest checkpoint or makes a first state; opens all files."""
        checks.require_same_config(self.config)
        if self.first:
            self.enter_context(rundir.lock(self.workdir))
        keep = self.config.keep_checkpoints
        opened = checkpoint.of_run(self.task, self.workdir, keep=keep)
        self.checkpoints = self.enter_context(opened)
        abstract = devices.abstract(self.task, self.keys.init)
        memory.require_for_state(abstract)
        restored = self.checkpoints.restore(abstract)
        if restored:
            self.resume(*restored)
        else:
            self.state = devices.init(self.task, self.keys.init)
        self.writers = None
        if not self.first:
            return
        rundir.write_config(self.workdir, self.config)
        shown = self.task.progress
        writers = Writers(self.workdir, self.name, shown, self.step, *self.tracked)
        self.writers = self.enter_context(writers)
        self.summarize("running")

    def resume(self, step, state, notes):
        """Continues from a checkpoint."""
        checks.require_whole_calls(step, self.config)
        checks.require_same_data(notes.get("data"), self.data)
        self.step = self.saved = step
        self.state = devices.with_local(self.task, state, self.keys.init)
        self.line = numbers(notes.get("line", {}))
        self.evaluation = numbers(notes.get("evaluation", {}))
        self.seconds["train"] = self.seconds.earlier = notes["train_seconds"]
        if self.task.batches:
            self.task.batches.restore(notes["batches"])
        if self.first:
            rundir.warn_of_changes(self.workdir, self.config)

    def compile(self):
        """Compiles the training program."""
        self.seconds["start"] = self.seconds.wall
        log_steps, way = self.config.log_steps, devices.way(self.config)
        self.device_keys = devices.device_keys(self.keys.steps)
        self.next_source()
        inputs = self.state, self.source, self.device_keys
        with self.seconds("compile"):
            steps = devices.train_steps(self.task, self.state, log_steps, way)
            self.steps = devices.compiled(steps, *inputs)
        memory.require_for_program(self.steps)
        if self.profiler:
            one = devices.train_steps(self.task, self.state, 1, way)
            self.profiler.begin(one.lower(*inputs))

    def next_source(self):
        """Reads the next call's data ahead; stores the reading position before that."""
        batches = self.task.batches
        self.reading = batches and batches.save()
        self.source = batches and batches.source(self.config.log_steps)

    def advance(self):
        """Trains for `log_steps`, then saves and evaluates if due."""
        traced = self.profiler and self.first
        trace = self.profiler.call() if traced else contextlib.nullcontext()
        with trace, self.seconds("train"):  # writing the trace is no training
            self.state, metrics = self.steps(self.state, self.source, self.device_keys)
            with self.seconds("input"):
                self.next_source()
            metrics = jax.device_get(metrics)
        checks.require_finite(metrics, self.step)
        self.step += self.config.log_steps
        self.line = {f"train/{key}": float(np.mean(m)) for key, m in metrics.items()}
        self.line["train_seconds"] = round(self.seconds["train"], 6)
        is_due = self.step % self.config.checkpoint_steps == 0
        if is_due or self.is_to_be_evaluated:
            self.save()
        self.log()

    def log(self):
        """Writes this step's line, with its evaluation if due."""
        known = self.checkpoints.metrics(self.step)
        if self.is_to_be_evaluated and processes.anywhere(known is None):
            known = self.evaluate()
        self.evaluation = known or self.evaluation
        if self.writers:
            self.writers.write(self.step, self.line | (known or {}))

    def evaluate(self):
        """Evaluates the saved state; returns None if a signal interrupts it."""
        try:
            with signals.interrupting():
                with self.seconds("evaluate"):
                    metrics = evaluate(self.task, self.keys, self.step, self.state)
                if self.task.frames and self.first:
                    self.draw(run_figures.draw_frames, self.keys.figures(0))
        except signals.Interrupted:
            return None
        self.checkpoints.evaluated(self.step, metrics)
        return metrics

    def save(self):
        notes = {"line": self.line, "evaluation": self.evaluation}
        notes |= {"train_seconds": self.seconds["train"]}
        notes |= {"data": self.data, "batches": self.reading}
        if self.first:
            rundir.require_space(self.workdir, self.state, self.saved)
        with self.seconds("checkpoint"):
            self.checkpoints.save(self.step, self.state, None, notes)
        self.saved = self.step

    def finish(self, ended, stop):
        """Saves; draws, unless a signal ended the run; writes the summary."""
        if self.saved != self.step:
            self.save()
        processes.require_same("a parameter", digests.digest(self.state.params))
        if not ended and self.first:
            try:
                with signals.interrupting():
                    self.draw(run_figures.draw, self.keys.figures(self.step))
            except signals.Interrupted:
                ended = True
        if ended:  # the signal may have reached another process
            self.summarize("preempted", signal=stop[0] if stop else signal.SIGTERM)
        else:
            self.summarize("done")
        if self.profiler and self.first:
            self.profiler.write(self.seconds, self.config.log_steps)

    def draw(self, function, key):
        with self.seconds("figures"):
            state = devices.first_copy(self.task, self.state)
            function(self.task, state, key, self.workdir, self.step)

    def summarize(self, status, **more):
        self.summary.write(status, self.step, self.state, self.evaluation, **more)
