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

    A seed's keys are the run's keys with the seed folded in. To float tolerance a seed
    trains equally whichever seeds stand beside it.

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
    kind = type(jax.eval_shape(task.init, streams.key(0, "unused")))
    numbers = jnp.array(seeds, jnp.uint32)

    def keys(key):
        return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)

    def pack(step, states):
        fields = {f.name: getattr(states, f.name) for f in dataclasses.fields(states)}
        local = {name: fields.pop(name) for name in task.local}
        return State(step=step, params=fields, local=local)

    def unpack(state):
        return kind(**state.params, **state.local)

    def init(key):
        return pack(jnp.int32(0), jax.vmap(task.init)(keys(key)))

    def step(state, batch, key):
        def one(own, key, which):
            own_batch = task.batches and task.batches.batch(batch, state.step, which)
            return task.step(own, own_batch, key)

        places = jnp.arange(len(seeds))
        states, metrics = jax.vmap(one)(unpack(state), keys(key), places)
        return pack(state.step + 1, states), _mean_of_finite(metrics)

    def nth(state, n):
        return jax.tree.map(lambda x: x[n], unpack(state))

    def evaluate_one(own, key):
        metrics = task.evaluate(own, key)
        if all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(own.params)):
            return metrics
        return {name: jnp.float32(jnp.nan) for name in metrics}

    def evaluate(state, key):
        # One by one, for an evaluation may run on the host.
        metrics = [evaluate_one(nth(state, n), k) for n, k in enumerate(keys(key))]
        each = {
            f"{name}/{seed}": value
            for seed, numbers in zip(seeds, metrics, strict=True)
            for name, value in numbers.items()
        }
        means = _mean_of_finite(
            {task.metric: jnp.stack([numbers[task.metric] for numbers in metrics])}
        )
        return each | means

    def figures(state, key):
        return task.figures(nth(state, 0), keys(key)[0])

    def frames(state, key):
        return task.frames(nth(state, 0), keys(key)[0])

    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        metric=task.metric,
        counts={name: n * len(seeds) for name, n in task.counts.items()},
        batches=task.batches and _Sources(task.batches),
        frames=task.frames and frames,
        about=task.about,
        local=("local",),
    )


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
