"""Devices: where a state lives, and steps mapped over all of them.

A state's fields are the same on every device and have no device axis, except those that
the task names as `local` (a device's own environments, say), which are [devices, ...].
This is the only module that calls `jax.pmap`.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from dlx.errors import UserError
from dlx.task import State, Task

AXIS = "devices"


def per_device(name: str, count: int) -> int:
    """A device's share of `count` things, such as environments or examples.

    Raises:
      UserError: where the devices do not divide them.
    """
    devices = jax.device_count()
    if count < 1:
        raise UserError(f"{name} must be at least 1, got {count}")
    if count % devices:
        raise UserError(
            f"{name}={count} does not divide over {devices} devices; a multiple would, "
            f"such as {max(1, count // devices) * devices}"
        )
    return count // devices


def device_keys(key: jax.Array) -> jax.Array:
    """A key for each of this process's devices, [local devices]."""
    everywhere = jax.devices()
    numbers = np.array([everywhere.index(here) for here in jax.local_devices()])
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def init(task: Task, key: jax.Array) -> State:
    """The task's first state; each device has `local` fields of its own."""
    return place(task, jax.jit(functools.partial(_init, task))(key))


def abstract(task: Task, key: jax.Array) -> State:
    """Shapes, dtypes and shardings of the state that `init` would make."""
    state = jax.eval_shape(functools.partial(_init, task), key)
    mesh = _mesh(jax.devices())
    processes = jax.process_count()

    def leaf(value, spec):
        shape = value.shape
        if processes > 1 and spec == PartitionSpec(AXIS):
            shape = len(jax.devices()), *shape[1:]
        sharding = NamedSharding(mesh, spec)
        return jax.ShapeDtypeStruct(shape, value.dtype, sharding=sharding)

    return jax.tree.map(leaf, state, _specs(task, state))


def place(task: Task, state: State) -> State:
    """Puts a state where the train steps return it, so that none compiles twice."""
    return jax.device_put(state, _shardings(task, state))


def to_save(task: Task, state: State) -> State:
    """The state as one over all processes, which is what Orbax takes."""
    if jax.process_count() == 1:
        return state
    return jax.tree.map(
        lambda spec, field: multihost_utils.host_local_array_to_global_array(
            field, _mesh(jax.devices()), spec
        ),
        _specs(task, state),
        state,
        is_leaf=_is_spec,
    )


def with_local(task: Task, state: State, key: jax.Array) -> State:
    """A restored state whose missing `local` fields are as `init` makes them."""
    missing = [f for f in task.local if getattr(state, f) is None]
    if not missing:
        return _from_saved(task, state)
    fresh = init(task, key)
    kept = {f: getattr(fresh, f) for f in missing}
    shared = {
        f: jax.tree.map(lambda x: x.addressable_data(0), getattr(state, f))
        for f in state.__dataclass_fields__
        if f not in missing
    }
    return place(task, state.replace(**shared | kept))


def _from_saved(task: Task, state: State) -> State:
    """The state on this process's devices, as `init` places it."""
    if jax.process_count() > 1:
        state = jax.tree.map(
            lambda spec, field: multihost_utils.global_array_to_host_local_array(
                field, _mesh(jax.devices()), spec
            ),
            _specs(task, state),
            state,
            is_leaf=_is_spec,
        )
    return place(task, state)


def train_steps(task: Task, state: State, num_steps: int) -> Callable[..., Any]:
    """`num_steps` of the task's steps on all devices, as one program.

    Returns:
      A pmapped (state, source, keys) -> (state, metrics). The source is what the task's
      batches are made from, or None; keys are `device_keys`; the metrics [num_steps]
      each, averaged over the devices. The state that goes in is donated.
    """
    batches = task.batches

    def run(state, source, key):
        def body(state, _):
            batch = batches and batches.batch(source, state.step)
            return task.step(state, batch, jax.random.fold_in(key, state.step))

        state, metrics = jax.lax.scan(body, state, length=num_steps)
        return state, jax.lax.pmean(metrics, AXIS)

    axes = _by_field(task, state, local=0, shared=None)
    return jax.pmap(
        run,
        AXIS,
        in_axes=(axes, batches and batches.axis, 0),
        out_axes=(axes, None),
        donate_argnums=0,
    )


def replicate(tree: Any) -> Any:
    """Puts arrays on each of this process's devices, whole."""
    return jax.device_put(tree, _sharding(PartitionSpec()))


def split(tree: Any) -> Any:
    """Shares out arrays [devices, ...] over this process's devices."""
    return jax.device_put(tree, _sharding(PartitionSpec(AXIS)))


def first_copy(task: Task, state: State) -> State:
    """The state as the task sees it on this process's first device, there alone."""
    state = jax.tree.map(lambda leaf: leaf.addressable_data(0), state)
    local = {f: jax.tree.map(lambda x: x[0], getattr(state, f)) for f in task.local}
    return state.replace(**local)


def _init(task, key):
    shared_key, local_key = jax.random.split(key)
    local = jax.vmap(task.init)(device_keys(local_key))
    local = {field: getattr(local, field) for field in task.local}
    return task.init(shared_key).replace(**local)


def _by_field(task, state, *, local, shared):
    """The state's class with one value in all local fields and one in the others."""
    fields = state.__dataclass_fields__
    return state.replace(**{f: local if f in task.local else shared for f in fields})


def _mesh(devices):
    return Mesh(np.array(devices), (AXIS,))


def _sharding(spec):
    return NamedSharding(_mesh(jax.local_devices()), spec)


def _specs(task, state):
    """A PartitionSpec for each leaf."""
    local, shared = PartitionSpec(AXIS), PartitionSpec()
    prefix = _by_field(task, state, local=local, shared=shared)
    return jax.tree.map(
        lambda spec, field: jax.tree.map(lambda _: spec, field),
        prefix,
        state,
        is_leaf=_is_spec,
    )


def _is_spec(x):
    return isinstance(x, PartitionSpec)


def _shardings(task, state):
    return jax.tree.map(_sharding, _specs(task, state), is_leaf=_is_spec)
