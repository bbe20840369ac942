"""Trains several seeds and settings of a task side by side in one program."""

from collections.abc import Callable, Sequence
import dataclasses
import itertools
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp

from dlx import fields, streams
from dlx.errors import UserError
from dlx.runtime.task import Task

FIELDS = {
    "seeds": fields.row(fields.integer(0, 2**32 - 1)),
    "settings": fields.table(fields.row(fields.real(), 1)),
}


@struct.dataclass
class State:
    """The states of all members.

    Attributes:
      step: [] int32.
      params: {field: [members, ...]}. The fields that are equal on all devices.
      local: {field: [members, ...]}. The fields that differ between devices.
    """

    step: jax.Array
    params: dict[str, Any]
    local: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the trainings side by side.

    Attributes:
      seed: Its random seed.
      settings: Its values of the fields of `config.settings`, in their order.
      label: What its metrics' names end with.
    """

    seed: int
    settings: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str:
        texts = [f"{name}={value}" for name, value in self.settings]
        return "/".join([*texts, str(self.seed)])


def members(config) -> list[Member]:
    """Lists settings x seeds: each value of `config.settings` with each seed.

    Raises:
      UserError: if a setting is no field of the config that holds a float.
    """
    settings = config.get("settings") or {}
    for name in settings:
        if not isinstance(config.get(name), float):
            raise UserError(
                f"config.settings: {name!r} must be a field that holds a float"
            )
    rows = [[(name, value) for value in settings[name]] for name in sorted(settings)]
    return [
        Member(seed, chosen)
        for chosen in itertools.product(*rows)
        for seed in config["seeds"]
    ]


def configured(config, settings: Sequence[tuple[str, Any]]):
    """Copies a config without its members, and sets fields."""
    config = config.copy_and_resolve_references()
    with config.unlocked(), config.ignore_type():
        for name, value in settings:
            config[name] = value
        if "settings" in config:
            del config.settings
    return config


def of(make: Callable[[Any], Task], config) -> Task:
    """Makes the task that trains each of `members(config)`.

    A member's keys are the run's keys with its seed folded in. To float tolerance a
    member trains as it does alone, whichever stand beside it.

    Args:
      make: Makes a task. It is also called with traced values of `config.settings`.
      config: It has `seeds` and may have `settings`. Its batches have an order for
        each seed.

    Returns:
      A task whose step averages its metrics over the members. Its evaluation has
      'NAME/LABEL' for every name and member, and the mean of the task's metric under
      that metric's name. Its figures and frames are those of the first member. A member
      that has diverged is left out of the means, and its evaluation is NaN; the run
      diverges when all have.

    Raises:
      UserError: if the task cannot be made with a traced value of a setting.
    """
    run = _SideBySide(make, config)
    task = run.tasks[0]
    return Task(
        init=run.init,
        step=run.step,
        evaluate=run.evaluate,
        figures=run.figures,
        metric=task.metric,
        counts={name: n * len(run.members) for name, n in task.counts.items()},
        batches=task.batches and _Sources(task.batches),
        frames=task.frames and run.frames,
        about=task.about,
        local=("local",),
    )


class _SideBySide:
    """The functions of a task, each for all members."""

    def __init__(self, make, config):
        self.make, self.config, self.members = make, config, members(config)
        by_settings = {
            settings: make(configured(config, settings))
            for settings in dict.fromkeys(member.settings for member in self.members)
        }
        self.tasks = [by_settings[member.settings] for member in self.members]
        self.seeds = jnp.array([member.seed for member in self.members], jnp.uint32)
        places = [config.seeds.index(member.seed) for member in self.members]
        self.places = jnp.array(places)  # of a seed's order of the batches
        self.names = [name for name, _ in self.members[0].settings]
        values = [[value for _, value in member.settings] for member in self.members]
        self.values = jnp.array(values, jnp.float32)
        first = jax.eval_shape(self.tasks[0].init, streams.key(0, "unused"))
        self.state_class = type(first)

    def task(self, values):
        """The task of a member, whose settings are traced values [settings]."""
        if not self.names:
            return self.tasks[0]
        settings = zip(self.names, values, strict=True)
        try:
            return self.make(configured(self.config, tuple(settings)))
        except jax.errors.JAXTypeError:
            names = ", ".join(self.names)
            raise UserError(
                f"config.settings: {names} cannot all vary in one program, because "
                f"{self.config.task} decides by one before it is compiled; use a grid"
            ) from None

    def init(self, key):
        def one(key, values):
            return self.task(values).init(key)

        return self.pack(jnp.int32(0), jax.vmap(one)(self.keys(key), self.values))

    def step(self, state, batch, key):
        def one(own, key, place, values):
            task = self.task(values)
            batches = self.tasks[0].batches
            own_batch = batches and batches.batch(batch, state.step, place)
            return task.step(own, own_batch, key)

        states, metrics = jax.vmap(one)(
            self.unpack(state), self.keys(key), self.places, self.values
        )
        return self.pack(state.step + 1, states), _mean_of_finite(metrics)

    def evaluate(self, state, key):
        # One by one, for an evaluation may run on the host.
        metrics = [
            self.evaluate_one(task, self.nth(state, n), own_key)
            for n, (task, own_key) in enumerate(
                zip(self.tasks, self.keys(key), strict=True)
            )
        ]
        each = {
            f"{name}/{member.label}": value
            for member, numbers in zip(self.members, metrics, strict=True)
            for name, value in numbers.items()
        }
        metric = self.tasks[0].metric
        scores = jnp.stack([numbers[metric] for numbers in metrics])
        return each | _mean_of_finite({metric: scores})

    def evaluate_one(self, task, own, key):
        """Evaluates one member; all its metrics are NaN if it has diverged."""
        metrics = task.evaluate(own, key)
        if all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(own.params)):
            return metrics
        return {name: jnp.float32(jnp.nan) for name in metrics}

    def figures(self, state, key):
        return self.tasks[0].figures(self.nth(state, 0), self.keys(key)[0])

    def frames(self, state, key):
        return self.tasks[0].frames(self.nth(state, 0), self.keys(key)[0])

    def keys(self, key):
        """One key a member; equal seeds have equal keys."""
        return jax.vmap(jax.random.fold_in, (None, 0))(key, self.seeds)

    def pack(self, step, states):
        params = {f.name: getattr(states, f.name) for f in dataclasses.fields(states)}
        local = {name: params.pop(name) for name in self.tasks[0].local}
        return State(step=step, params=params, local=local)

    def unpack(self, state):
        return self.state_class(**state.params, **state.local)

    def nth(self, state, n):
        return jax.tree.map(lambda x: x[n], self.unpack(state))


def _mean_of_finite(metrics):
    """Means over the members whose metrics are all finite; NaN if there are none.

    Args:
      metrics: {name: [members] float32}.
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
