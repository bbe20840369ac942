"""Describes an experiment before it trains: parameters, batch, cost, speed."""

from collections.abc import Iterator
import math
import time
from typing import Any

import jax
import numpy as np

from dlx import streams
from dlx.runtime import devices
from dlx.runtime.task import Task

_STEPS = 2  # of the measured program


def described(task: Task, config) -> dict[str, list[str]]:
    """Describes an experiment without compiling anything.

    Returns:
      {title: lines}: the parameters, the state, and one device's batch.
    """
    state = devices.abstract(task, streams.Keys(config.seed).init)
    batch = _batch(task, state)
    return {
        "parameters": list(_parameters(state.params)),
        "state": [
            f"{name:16}{_megabytes(_bytes(getattr(state, name)))}"
            for name in state.__dataclass_fields__
        ]
        + [f"{'total':16}{_megabytes(_bytes(state))}"],
        "batch of one device": list(_rows(batch)) or ["none: steps make their data"],
    }


def measured(task: Task, config) -> dict[str, list[str]]:
    """Compiles and runs the training program.

    Returns:
      {title: lines}: the cost of a step as XLA counts it, and its speed.
    """
    keys = streams.Keys(config.seed)
    state = devices.init(task, keys.init)
    source = task.batches and task.batches.source(_STEPS)
    inputs = source, devices.device_keys(keys.steps)
    way = devices.way(config)
    began = time.perf_counter()
    # XLA counts the body of a loop once, whatever the number of its steps.
    program = devices.train_steps(task, state, _STEPS, way).lower(state, *inputs)
    compiled = program.compile()
    compile_seconds = time.perf_counter() - began
    state, _ = jax.block_until_ready(compiled(state, *inputs))  # the first is slower
    began = time.perf_counter()
    jax.block_until_ready(compiled(state, *inputs))
    seconds = (time.perf_counter() - began) / _STEPS
    cost = compiled.cost_analysis() or {}
    flops = cost.get("flops", math.nan)
    memory = compiled.memory_analysis()
    working = memory.temp_size_in_bytes if memory else math.nan
    return {
        "a step on one device": [
            f"operations      {flops / 1e9:.4g} GFLOP",
            f"bytes moved     {_megabytes(cost.get('bytes accessed', math.nan))}",
            f"working memory  {_megabytes(working)}",
            f"rate            {flops / seconds / 1e9:.4g} GFLOP/s",
        ],
        "time": [
            f"compilation     {compile_seconds:.1f} s",
            f"a step          {1000 * seconds:.3g} ms, the mean of {_STEPS}",
            *_durations(task, config, seconds),
        ],
    }


def _durations(task, config, seconds):
    """The durations of an epoch, if there are epochs, and of the whole run."""
    size = getattr(task.batches, "examples", None)
    if size and "examples" in task.counts:
        steps = size / task.counts["examples"]
        yield f"an epoch        {steps * seconds:.4g} s, {steps:.1f} steps"
    steps = config.num_steps
    yield f"training        {steps * seconds:.4g} s, {steps} steps"


def _batch(task, state):
    """Shapes of one device's batch of one step."""
    if task.batches is None:
        return None
    source = task.batches.source(1)
    # If the source has an axis over the devices, it is the axis of `pmap`.
    axes = task.batches.axis
    batch = jax.eval_shape(
        lambda source, step: jax.vmap(
            lambda source: task.batches.batch(source, step),
            in_axes=(axes,),
            axis_name=devices.AXIS,
            axis_size=jax.local_device_count(),
        )(source),
        source,
        state.step,
    )
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch)


def _parameters(params) -> Iterator[str]:
    """A row for each array, and the total."""
    yield from _rows(params, count=True)
    leaves = jax.tree.leaves(params)
    number = sum(leaf.size for leaf in leaves)
    yield f"total  {number:,} parameters, {_megabytes(_bytes(params))}"


def _rows(tree: Any, count: bool = False) -> Iterator[str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves
    ]
    width = max(map(len, names), default=0) + 2
    for name, (_, leaf) in zip(names, leaves, strict=True):
        number = f"  {leaf.size:,}" if count else ""
        yield f"{name:{width}}{list(leaf.shape)} {leaf.dtype}{number}"


def _bytes(tree):
    return sum(
        leaf.size * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)
    )


def _megabytes(number):
    return f"{number / 1e6:.4g} MB"
