"""Neural style transfer (Gatys, Ecker and Bethge 2016): optimises a picture's pixels.

The content loss compares the picture's features with a photo's, the style loss its
statistics with a painting's. The picture starts at a small resolution, which grows by a
factor of sqrt(2) several times. The state's arrays have the largest resolution's shape
from the start; a smaller picture occupies their upper left corner.
"""

import functools
import math

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import choices, fields, optimizers
from dlx.data import batches, images
from dlx.errors import UserError
from dlx.runtime import devices
from dlx.runtime.task import Task
from dlx.style import results
from dlx.style.problem import StyleProblem
from dlx.style.resolution import FIELDS as STYLE_FIELDS
from dlx.style.resolution import loss_weights

_MOST_SCALES = 64  # their sizes grow by sqrt(2) from one to the next

FIELDS = STYLE_FIELDS | {
    "content": fields.text(),
    "mask": fields.text(),
    "blends": fields.row(fields.row(fields.real(0), 1)),
    "size": fields.integer(1, images.LARGEST),
    "scales": fields.integer(1, _MOST_SCALES),
    "start": fields.choice("content", "noise", "grey"),
    "optimizer": choices.FIELD,
    "learning_rate": fields.real(above=0),
    "last_learning_rate": fields.real(0),
    "lbfgs_memory": fields.integer(),
    "average_decay": fields.real(0, below=1),
}


@struct.dataclass
class State:
    """The training state. All pictures in it are of the full size.

    Attributes:
      step: [] int32. The number of completed steps.
      params: {'pictures': [blends, height, width, 3] float32 in [0, 1]}.
      opt_state: The optimiser's state.
      average: [blends, height, width, 3] float32. The moving average of the pictures,
        which is evaluated and shown.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree
    average: jax.Array


def require(config) -> None:
    """Raises UserError if the config is invalid."""
    if config.num_steps % config.scales:
        raise UserError(
            f"config.num_steps={config.num_steps} is not a multiple of config.scales="
            f"{config.scales}; every resolution has the same number of steps"
        )
    loss_weights(config)  # checks them


def make_optimizer(config) -> optax.GradientTransformationExtraArgs:
    """Makes L-BFGS with line search, or an optimiser whose rate decays at each size."""
    if config.optimizer == "lbfgs":
        return optax.lbfgs(memory_size=config.lbfgs_memory)
    steps = config.num_steps // config.scales  # of each resolution
    decay = optax.cosine_decay_schedule(1.0, steps, config.last_learning_rate)
    tx = optimizers.make(
        config.optimizer,
        config.num_steps,
        learning_rate=config.learning_rate,
        schedule=lambda step: decay(step % steps),
        b1=0.9,
        b2=0.8,
    )
    return optax.with_extra_args_support(tx)


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/style.py.

    Raises:
      UserError: if the config is invalid, or a picture or the network is missing.
    """
    require(config)
    problem, tx = StyleProblem(config), make_optimizer(config)

    def init(key):
        pictures = problem.initial_pictures(key)
        params = {"pictures": pictures}
        return State(jnp.int32(0), params, tx.init(params), jnp.copy(pictures))

    def step(state, batch, key):
        del key
        branches = [
            functools.partial(descend, config, problem, tx, index)
            for index in range(config.scales)
        ]
        return lax.switch(problem.resolution_at(state.step), branches, state, batch)

    blends, height, width, _ = problem.shape
    return Task(
        init=init,
        step=step,
        evaluate=results.make_evaluate(config, problem),
        figures=results.make_figures(config, problem),
        frames=results.make_frames(config, problem),
        metric="minus_loss",
        counts={"pixels": blends * height * width},
        batches=batches.Fixed(problem.fixed),
        shown=("content_loss", "style_loss"),
    )


def descend(config, problem: StyleProblem, tx, index: int, state: State, fixed):
    """Takes one optimiser step at one resolution.

    Args:
      config: A config like that of configs/style.py.
      problem: The style-transfer problem.
      tx: The optimiser.
      index: The resolution.
      state: The state before the step.
      fixed: `problem.fixed`.

    Returns:
      The next state, and the step's metrics.
    """
    first_step = index * config.num_steps // config.scales
    full_size = state.params, state.opt_state, state.average
    if index:
        full_size = lax.cond(
            state.step == first_step,
            lambda tree: problem.grow(tree, index),
            lambda tree: tree,
            full_size,
        )
    params, opt_state, average = problem.take(full_size, index)

    # With this factor a pixel's gradient has the same size at every resolution, which
    # keeps the optimiser's state valid when the resolution changes.
    pixels = math.prod(params["pictures"].shape[1:3])

    def loss(params):
        total, means = problem.losses(fixed, index, params["pictures"])
        return pixels * total, means

    (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(params)
    grads = lax.pmean(grads, devices.AXIS)
    updates, opt_state = tx.update(
        grads, opt_state, params,
        value=value, grad=grads, value_fn=lambda params: loss(params)[0],
    )  # fmt: skip
    params = optax.apply_updates(params, updates)
    params = jax.tree.map(lambda picture: jnp.clip(picture, 0, 1), params)
    average = optimizers.moving_average(
        params["pictures"], average, config.average_decay, state.step - first_step
    )
    metrics["l2_params"] = optax.tree.norm(params)
    params, opt_state, average = problem.put(full_size, (params, opt_state, average))
    return State(state.step + 1, params, opt_state, average), metrics
