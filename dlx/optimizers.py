"""Optimisers and schedules by config, and moving averages of parameters."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from optax import contrib

from dlx import choices, fields
from dlx.errors import UserError, user_error_in

SCHEDULES = "constant", "linear", "cosine"
DECAYED = "all", "matrices"
FIELDS = {
    "optimizer": choices.FIELD,
    "learning_rate": fields.real(above=0),
    "max_grad_norm": fields.real(above=0),
}


def linear(start: float, end: float, duration: int) -> optax.Schedule:
    """A linear schedule; a duration of 0 gives the end value at once."""
    if duration == 0:
        return optax.constant_schedule(end)
    return optax.linear_schedule(start, end, duration)


def schedule(
    name: str | optax.Schedule,
    learning_rate: float,
    num_updates: int,
    warmup_updates: int = 0,
    end: float = 0.0,
) -> optax.ScalarOrSchedule:
    """A learning rate that depends on the number of updates made.

    Args:
      name: 'constant', 'linear', 'cosine' (Loshchilov and Hutter 2017, eq. 5, without
        restarts), or a function from the number of updates to a factor of the rate.
      learning_rate: The largest rate.
      num_updates: The number of updates of the whole run.
      warmup_updates: The number of updates over which the rate first rises from 0.
      end: The last rate of 'linear' and 'cosine', as a share of the largest.

    Raises:
      UserError: if the warm-up leaves no update after it.
    """
    if not 0 <= warmup_updates < num_updates:
        raise UserError(
            f"a warm-up of {warmup_updates} of {num_updates} updates leaves no update "
            "after it; shorten it or train for longer"
        )
    rest = num_updates - warmup_updates
    if callable(name):
        shape = name

        def after(count):
            return learning_rate * shape(count)

    elif name == "constant":
        after = learning_rate
    elif name == "linear":
        after = optax.linear_schedule(learning_rate, end * learning_rate, rest)
    else:
        after = optax.cosine_decay_schedule(learning_rate, rest, end)
    if not warmup_updates:
        return after
    after = after if callable(after) else optax.constant_schedule(after)
    rise = optax.linear_schedule(0.0, learning_rate, warmup_updates)
    return optax.join_schedules([rise, after], [warmup_updates])


def matrices(params: chex.ArrayTree) -> chex.ArrayTree:
    """True for kernels (two axes or more), False for biases and scales of norms."""
    return jax.tree.map(lambda x: x.ndim > 1, params)


def _adam(rate, decay, b1=0.9, b2=0.999, eps=1e-8):
    """Adam (Kingma and Ba 2015); it does not decay weights."""
    del decay
    return [optax.scale_by_adam(b1, b2, eps), optax.scale_by_learning_rate(rate)]


def _adamw(rate, decay, b1=0.9, b2=0.999, eps=1e-8):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    direction = optax.scale_by_adam(b1, b2, eps)
    return [direction, *decay, optax.scale_by_learning_rate(rate)]


def _lion(rate, decay, b1=0.9, b2=0.99):
    """Lion (Chen et al. 2023): the sign of a moving average."""
    direction = optax.scale_by_lion(b1, b2)
    return [direction, *decay, optax.scale_by_learning_rate(rate)]


def _sgd(rate, decay, momentum=0.9, nesterov=True):
    """SGD with Nesterov momentum; weight decay is part of the gradient."""
    direction = optax.trace(momentum, nesterov)
    return [*decay, direction, optax.scale_by_learning_rate(rate)]


def _muon(rate, decay, momentum=0.95, ns_steps=5, consistent_rms=0.2):
    """Muon (Jordan 2024) for kernels [inputs, outputs]; Nesterov's Adam for the rest.

    With `consistent_rms`, updates have the usual size of Adam's, and Adam's learning
    rates fit (Liu et al. 2025). None scales by sqrt(outputs / inputs) instead.
    """

    def dimensions(params):
        return jax.tree.map(
            lambda x: (
                contrib.MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1)
                if x.ndim > 1
                else None
            ),
            params,
        )

    direction = contrib.muon(
        1.0,
        beta=momentum,
        ns_steps=ns_steps,
        consistent_rms=consistent_rms,
        muon_weight_dimension_numbers=dimensions,
    )
    return [direction, optax.scale(-1.0), *decay, optax.scale_by_learning_rate(rate)]


OPTIMIZERS = {
    "adam": _adam,
    "adamw": _adamw,
    "lion": _lion,
    "muon": _muon,
    "sgd": _sgd,
}
_SHARED = {
    "learning_rate": 1e-3,
    "schedule": "constant",
    "warmup_updates": 0,
    "end": 0.0,
    "weight_decay": 0.0,
    "decayed": "all",
    "max_grad_norm": 0.0,
}
SETTINGS = {
    "learning_rate": fields.real(above=0),
    "schedule": fields.Field(
        lambda value: callable(value) or value in SCHEDULES,
        f"one of: {', '.join(map(repr, SCHEDULES))}",
    ),
    "warmup_updates": fields.integer(0),
    "end": fields.real(0, 1),
    "weight_decay": fields.real(0),
    "decayed": fields.choice(*DECAYED),
    "max_grad_norm": fields.real(0),
    **dict.fromkeys(("b1", "b2", "momentum"), fields.real(0, below=1)),
    "eps": fields.real(0),
    "nesterov": fields.flag(),
    "ns_steps": fields.integer(),
    "consistent_rms": fields.optional(fields.real(above=0)),
}
_OWN = {
    name: choices.settings_of(function) - {"rate", "decay"}
    for name, function in OPTIMIZERS.items()
}


def make(
    choice: Any, num_updates: int, **defaults: Any
) -> optax.GradientTransformation:
    """Makes an optimiser.

    Args:
      choice: One of OPTIMIZERS, or the import path of a function such as
        'optax.adabelief', which is called with a learning rate; or a ConfigDict of
        `name` and settings. All optimisers have these settings: `learning_rate`,
        `schedule`, `warmup_updates` and `end`, as in `schedule`; `weight_decay`;
        `decayed`, the parameters that decay, 'all' or 'matrices'; `max_grad_norm`, to
        which the norm of all gradients is clipped (0: no clipping). Each optimiser has
        further settings, such as b1.
      num_updates: The number of updates of the whole run, not of steps of the loop.
      defaults: Settings that hold if the choice does not set them.

    Raises:
      UserError: if the choice is unknown, has no such setting or a value is invalid.
    """
    name, given = choices.read(choice)
    function = OPTIMIZERS.get(name) or _imported(name)
    own = _OWN.get(name) or choices.settings_of(function)
    settings = _SHARED | choices.known(
        "config.optimizer",
        name,
        defaults | given,
        own | _SHARED.keys(),
        others=set().union(*_OWN.values()),
    )
    fields.check(settings, SETTINGS, "config.optimizer")
    if num_updates > fields.MOST:
        raise UserError(
            f"a run of {num_updates} updates is too long; the maximum is {fields.MOST}"
        )
    rate = schedule(
        settings["schedule"],
        settings["learning_rate"],
        num_updates,
        settings["warmup_updates"],
        settings["end"],
    )
    decay = _weight_decay(settings["weight_decay"], settings["decayed"])
    clip, rest = settings["max_grad_norm"], settings.keys() & own
    arguments = {setting: settings[setting] for setting in rest}
    if name in OPTIMIZERS:
        parts = function(rate, decay, **arguments)
    else:
        with user_error_in(f"config.optimizer: {name}"):
            parts = [function(**arguments | {"learning_rate": rate})]
    tx = optax.chain(*parts)
    return optax.chain(optax.clip_by_global_norm(clip), tx) if clip else tx


def _imported(name):
    """The function that an import path names."""
    if "." not in name:
        raise UserError(
            f"config.optimizer is {name!r}; choose one of: {', '.join(OPTIMIZERS)}, or "
            "an import path such as 'optax.adabelief'"
        )
    return choices.imported(name)


def _weight_decay(rate, decayed):
    """Returns the transformations that add weight decay to the updates."""
    mask = matrices if decayed == "matrices" else None
    return [optax.add_decayed_weights(rate, mask)]


def moving_average(
    now: chex.ArrayTree, average: chex.ArrayTree, decay: float, step: jax.Array
) -> chex.ArrayTree:
    """The exponential moving average after a step (Polyak and Juditsky 1992).

    The decay is smaller at first, so that the initial weights are soon forgotten.

    Args:
      now: The current values.
      average: The current average.
      decay: Its asymptotic decay per step.
      step: [] int32. The number of steps before this one.
    """
    decay = jnp.minimum(decay, step / (step + 10.0))
    return optax.incremental_update(now, average, 1.0 - decay)
