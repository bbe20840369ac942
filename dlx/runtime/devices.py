"""Places states on devices and maps steps over all devices.

A state's fields are equal on all devices and have no device axis. Fields that the task
names as `local`, such as a device's own environments, are [devices, ...]. Arrays span
the devices of all processes, whichever way steps are mapped. No other module calls
`jax.pmap` or `jax.shard_map`.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from dlx import fields
from dlx.errors import UserError
from dlx.runtime.task import State, Task

AXIS = "devices"
WAYS = "pmap", "shard_map"
DEFAULT = "pmap"


def per_device(name: str, count: int) -> int:
    """Divides `count` environments or examples over all devices.

    Raises:
      UserError: if `count` is not a positive multiple of the number of devices, or is
        too large to be numbered in int32.
    """
    devices = jax.device_count()
    if count < 1:
        raise UserError(f"{name} must be at least 1, got {count}")
    if count > fields.MOST:
        raise UserError(
            f"{name}: {count} of a step are more than the maximum, {fields.MOST}"
        )
    if count % devices:
        raise UserError(
            f"{name}={count} does not divide over {devices} devices; a multiple would, "
            f"such as {max(1, count // devices) * devices}"
        )
    return count // devices


def micro_batches(config) -> int:
    """The number of micro-batches of a step, `config.accumulate`, 1 without the field.

    Raises:
      UserError: if it does not divide the examples of a device.
    """
    share = per_device("config.batch_size", config.batch_size)
    number = config.get("accumulate", 1)
    if share % number:
        raise UserError(
            f"config.accumulate={number} does not divide the {share} examples of a "
            "device"
        )
    return number


def device_keys(key: jax.Array) -> jax.Array:
    """Makes a key for each device of all processes, [devices]."""
    make = jax.jit(
        lambda data, numbers: jax.vmap(jax.random.fold_in, (None, 0))(
            jax.random.wrap_key_data(data, impl=jax.random.key_impl(key)), numbers
        ),
        out_shardings=_sharding(PartitionSpec(AXIS)),
    )
    # The key data come from the host; other processes cannot read a device's key.
    return make(np.asarray(jax.random.key_data(key)), np.arange(len(jax.devices())))


def init(task: Task, key: jax.Array) -> State:
    """Makes the first state; each device has its own `local` fields."""
    return place(task, jax.jit(functools.partial(_init, task))(key))


def abstract(task: Task, key: jax.Array) -> State:
    """Returns shapes, dtypes and shardings of the state that `init` makes."""
    state = jax.eval_shape(functools.partial(_init, task), key)

    def leaf(value, spec):
        shape = value.shape
        if spec == PartitionSpec(AXIS):
            shape = len(jax.devices()), *shape[1:]
        return jax.ShapeDtypeStruct(shape, value.dtype, sharding=_sharding(spec))

    return jax.tree.map(leaf, state, _specs(task, state))


def place(task: Task, state: State) -> State:
    """Places a state as train steps return it, which avoids a second compilation.

    Args:
      task: The task, which names the local fields.
      state: Local fields are [local devices, ...]; others are equal in all processes.
    """
    return jax.tree.map(_put, state, _specs(task, state))


def with_local(task: Task, state: State, key: jax.Array) -> State:
    """Fills missing `local` fields of a restored state as `init` makes them."""
    missing = [f for f in task.local if getattr(state, f) is None]
    if not missing:
        return state
    fresh = init(task, key)
    return state.replace(**{f: getattr(fresh, f) for f in missing})


def way(config) -> str:
    """The `way` of `over_devices` that a config selects."""
    return config.get("parallel", DEFAULT)


def train_steps(
    task: Task, state: State, num_steps: int, way: str = DEFAULT
) -> Callable[..., Any]:
    """Makes one program of `num_steps` training steps on all devices.

    Args:
      task: The task.
      state: A state, for its fields.
      num_steps: The number of steps.
      way: See `over_devices`.

    Returns:
      (state, source, keys) -> (state, metrics), to be called or `compiled`. The source
      is the batches' source, or None; keys are `device_keys`; metrics are [num_steps]
      float32, averaged over the devices. The state is donated.
    """
    batches = task.batches

    def run(state, source, key):
        def body(state, _):
            batch = batches and batches.batch(source, state.step)
            return task.step(state, batch, jax.random.fold_in(key, state.step))

        state, metrics = jax.lax.scan(body, state, length=num_steps)
        return state, jax.lax.pmean(metrics, AXIS)

    axes = _by_field(task, state, local=0, shared=None)
    return over_devices(
        run, (axes, batches and batches.axis, 0), (axes, None), way, donate=0
    )


def over_devices(
    function: Callable[..., Any],
    in_axes: tuple[Any, ...],
    out_axes: Any,
    way: str = DEFAULT,
    donate: int | Sequence[int] = (),
) -> Callable[..., Any]:
    """Maps a function over all devices, which are the axis 'devices' inside.

    Args:
      function: The computation of one device.
      in_axes: For each argument 0 if its leading axis is split over the devices, None
        if every device gets all of it, or a tree of these.
      out_axes: The same for results. None means equal on all devices, unchecked.
      way: 'pmap', which JAX only maintains, or 'shard_map', which replaces it. Both
        give the same numbers; on one device they are equal bit for bit.
      donate: The numbers of the arguments whose memory may be reused.

    Raises:
      UserError: if `way` is unknown.
    """
    if way not in WAYS:
        known = ", ".join(map(repr, WAYS))
        raise UserError(f"config.parallel is {way!r}; choose one of: {known}")
    if way == "shard_map":
        return _shard_mapped(function, in_axes, out_axes, donate)
    mapped = jax.pmap(
        function, AXIS, in_axes=in_axes, out_axes=out_axes, donate_argnums=donate
    )
    if jax.process_count() == 1:
        return mapped
    return _of_all_processes(mapped, in_axes, out_axes)


def _of_all_processes(mapped, in_axes, out_axes):
    """Lets pmap's program take and return arrays of all processes, not its own shards.

    What is compiled from `lower` takes and returns arrays of all processes by itself.
    """
    mesh = _mesh(jax.devices())
    to_local = multihost_utils.global_array_to_host_local_array
    to_global = multihost_utils.host_local_array_to_global_array

    def own(arguments):
        return _with_axes(
            lambda axis, x: to_local(x, mesh, _spec(axis)), in_axes, arguments
        )

    def call(*arguments):
        return _with_axes(
            lambda axis, x: to_global(x, mesh, _spec(axis)),
            out_axes,
            mapped(*own(arguments)),
        )

    call.lower = lambda *arguments: mapped.lower(*own(arguments))
    return call


def _shard_mapped(function, in_axes, out_axes, donate):
    """Maps with `shard_map`, whose shards keep a device axis of length 1."""

    def on_one(*arguments):
        arguments = _with_axes(_one, in_axes, arguments)
        return _with_axes(_as_shard, out_axes, function(*arguments))

    mapped = jax.shard_map(
        on_one,
        mesh=_mesh(jax.devices()),
        in_specs=jax.tree.map(_spec, in_axes, is_leaf=_is_none),
        out_specs=jax.tree.map(_spec, out_axes, is_leaf=_is_none),
        check_vma=False,  # True would sum gradients of replicated parameters
    )
    return jax.jit(mapped, donate_argnums=donate)


def compiled(steps: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Compiles a program for its arguments, so that its first call does not."""
    return steps.lower(*arguments).compile()


def local_positions() -> list[int]:
    """Positions of this process's devices among all devices, the axis AXIS."""
    everywhere = jax.devices()
    return [everywhere.index(here) for here in jax.local_devices()]


def replicate(tree: Any) -> Any:
    """Copies arrays, which are equal in all processes, to every device."""
    return jax.tree.map(lambda array: _put(array, PartitionSpec()), tree)


def split(tree: Any) -> Any:
    """Splits arrays [local devices, ...] over this process's devices."""
    return jax.tree.map(lambda array: _put(array, PartitionSpec(AXIS)), tree)


def first_copy(task: Task, state: State) -> State:
    """Returns the state of this process's first device, as the task sees it."""
    state = jax.tree.map(lambda leaf: leaf.addressable_data(0), state)
    local = {f: jax.tree.map(lambda x: x[0], getattr(state, f)) for f in task.local}
    return state.replace(**local)


def _init(task, key):
    """Makes a state whose local fields are those of this process's devices."""
    shared_key, local_key = jax.random.split(key)
    if not task.local:  # tracing a large network twice takes a second
        return task.init(shared_key)
    numbers = np.array(local_positions())
    keys = jax.vmap(jax.random.fold_in, (None, 0))(local_key, numbers)
    local = jax.vmap(task.init)(keys)
    local = {field: getattr(local, field) for field in task.local}
    return task.init(shared_key).replace(**local)


def _by_field(task, state, *, local, shared):
    """Fills the state's class with one value for local fields and one for others."""
    fields = state.__dataclass_fields__
    return state.replace(**{f: local if f in task.local else shared for f in fields})


def _mesh(devices):
    return Mesh(np.array(devices), (AXIS,))


def _sharding(spec):
    return NamedSharding(_mesh(jax.devices()), spec)


def _put(array, spec):
    if jax.process_count() == 1:
        return jax.device_put(array, _sharding(spec))
    return jax.make_array_from_process_local_data(_sharding(spec), np.asarray(array))


def _specs(task, state):
    """Returns a PartitionSpec for each leaf."""
    axes = _by_field(task, state, local=0, shared=None)
    return _with_axes(lambda axis, _: _spec(axis), axes, state)


def _spec(axis):
    return PartitionSpec() if axis is None else PartitionSpec(AXIS)


def _with_axes(change, axes, tree):
    """Maps `change(axis, leaf)` over a tree of which `axes` is a prefix."""
    return jax.tree.map(
        lambda axis, part: jax.tree.map(lambda leaf: change(axis, leaf), part),
        axes,
        tree,
        is_leaf=_is_none,
    )


def _one(axis, shard):
    return shard if axis is None else shard[0]


def _as_shard(axis, x):
    return x if axis is None else x[None]


def _is_none(x):
    return x is None
