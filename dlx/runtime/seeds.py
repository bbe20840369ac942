"""Trains several seeds of a task side by side in one program."""

from collections.abc import Sequence
import dataclasses
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp

from dlx import fields, streams
from dlx.runtime.task import Task

FIELDS = {"seeds": fields.row(fields.integer(0, 2**32 - 1))}


@struct.dataclass
class State:
    """The states of all seeds.

    Attributes:
      step: [] int32.
      params: {field: [seeds, ...]}. The fields that are equal on all devices.
      local: {field: [seeds, ...]}. The fields that differ between devices.
    """

    step: jax.Array
    params: dict[str, Any]
    local: dict[str, Any]


def of(task: Task, seeds: Sequence[int]) -> Task:
    """Makes the task that trains `task` once for each seed.

    A seed's keys are the run's keys with the seed folded in. To float tolerance, the
    training of a seed does not depend on the other seeds.

    Args:
      task: The task. Its batches have an order for each seed.
      seeds: Non-negative integers.

    Returns:
      A task whose step averages its metrics over the seeds. Its evaluation has
      'NAME/SEED' for every name and seed, and the mean of the task's metric under that
      metric's name. Its figures and frames are those of the first seed. A seed that
      has diverged is left out of the means, and its evaluation is NaN; the run
      diverges when all seeds have.
    """
    run = _SideBySide(task, seeds)
    return Task(
        init=run.init,
        step=run.step,
        evaluate=run.evaluate,
        figures=run.figures,
        metric=task.metric,
        counts={name: n * len(seeds) for name, n in task.counts.items()},
        batches=task.batches and _Sources(task.batches),
        frames=task.frames and run.frames,
        about=task.about,
        local=("local",),
    )


class _SideBySide:
    """The functions of a task, each for all seeds."""

    def __init__(self, task, seeds):
        self.task, self.seeds = task, seeds
        self.numbers = jnp.array(seeds, jnp.uint32)
        self.state_class = type(jax.eval_shape(task.init, streams.key(0, "unused")))

    def init(self, key):
        return self.pack(jnp.int32(0), jax.vmap(self.task.init)(self.keys(key)))

    def step(self, state, batch, key):
        def one(own, key, place):
            batches = self.task.batches
            own_batch = batches and batches.batch(batch, state.step, place)
            return self.task.step(own, own_batch, key)

        places = jnp.arange(len(self.seeds))
        states, metrics = jax.vmap(one)(self.unpack(state), self.keys(key), places)
        return self.pack(state.step + 1, states), _mean_of_finite(metrics)

    def evaluate(self, state, key):
        # One by one, because an evaluation may run on the host.
        metrics = [
            self.evaluate_one(self.nth(state, n), own_key)
            for n, own_key in enumerate(self.keys(key))
        ]
        each = {
            f"{name}/{seed}": value
            for seed, numbers in zip(self.seeds, metrics, strict=True)
            for name, value in numbers.items()
        }
        metric = self.task.metric
        scores = jnp.stack([numbers[metric] for numbers in metrics])
        return each | _mean_of_finite({metric: scores})

    def evaluate_one(self, own, key):
        """Evaluates one seed's state; if it has diverged, all metrics are NaN."""
        metrics = self.task.evaluate(own, key)
        if all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(own.params)):
            return metrics
        return {name: jnp.float32(jnp.nan) for name in metrics}

    def figures(self, state, key):
        return self.task.figures(self.nth(state, 0), self.keys(key)[0])

    def frames(self, state, key):
        return self.task.frames(self.nth(state, 0), self.keys(key)[0])

    def keys(self, key):
        """Makes one key for each seed."""
        return jax.vmap(jax.random.fold_in, (None, 0))(key, self.numbers)

    def pack(self, step, states):
        params = {f.name: getattr(states, f.name) for f in dataclasses.fields(states)}
        local = {name: params.pop(name) for name in self.task.local}
        return State(step=step, params=params, local=local)

    def unpack(self, state):
        return self.state_class(**state.params, **state.local)

    def nth(self, state, n):
        return jax.tree.map(lambda x: x[n], self.unpack(state))


def _mean_of_finite(metrics):
    """Means over the seeds whose metrics are all finite; NaN if there are none.

    Args:
      metrics: {name: [seeds] float32}.
    """
    finite = jnp.all(jnp.stack([jnp.isfinite(x) for x in metrics.values()]), axis=0)
    return {
        name: jnp.sum(jnp.where(finite, x, 0.0)) / jnp.sum(finite)
        for name, x in metrics.items()
    }


class _Sources:
    """Passes the source to the step, which makes each seed's batch itself."""

    def __init__(self, batches):
        self.axis, self.source = batches.axis, batches.source
        self.save, self.restore = batches.save, batches.restore
        self.digest = batches.digest

    def batch(self, source, step):
        del step
        return source
