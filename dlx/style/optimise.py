"""Neural style transfer (Gatys, Ecker and Bethge 2016): descent on a picture's pixels.

Features of the picture are to be a photograph's, and its statistics a painting's. It
begins small and grows, by sqrt(2) at a time: the state's picture has the full size from
the start, and what is smaller stands in its upper left corner.
"""

import functools
import math

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx import figures as drawing
from dlx.data import batches
from dlx.errors import UserError, require_one_of, require_positive
from dlx.optimizers import moving_average
from dlx.runtime import devices
from dlx.runtime.task import Task
from dlx.style import losses as styles
from dlx.style.problem import Studio

_STARTS = "content", "noise", "grey"
_LARGEST_FRAME = 384  # pixels; a GIF of larger ones is for no one


@struct.dataclass
class State:
    """What training changes; all leaves that are pictures are of the full size.

    Attributes:
      step: [] int32.
      params: {'pictures': [blends, height, width, 3] float32 in [0, 1]}.
      opt_state: The optimiser's.
      average: Of the pictures, what is shown.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree
    average: jax.Array


def require(config) -> None:
    """Raises a UserError where the config asks for no picture."""
    require_one_of(config, "style_loss", tuple(styles.LOSSES))
    require_one_of(config, "start", _STARTS)
    require_one_of(config, "optimizer", ("adam", "lbfgs"))
    require_positive(config, "size", "scales")
    if config.num_steps % config.scales:
        raise UserError(
            f"config.num_steps={config.num_steps} is not a multiple of config.scales="
            f"{config.scales}, each of which has as many steps"
        )
    for name in "content_layers", "style_layers":
        if not any(weight > 0 for weight in config[name].values()):
            raise UserError(f"config.{name} gives no layer a weight above 0")


def make_optimizer(config) -> optax.GradientTransformationExtraArgs:
    """Adam, its rate falling anew at every scale; or L-BFGS with a line search."""
    if config.optimizer == "lbfgs":
        return optax.lbfgs(memory_size=config.lbfgs_memory)
    each = config.num_steps // config.scales
    fall = optax.cosine_decay_schedule(
        config.learning_rate, each, config.last_learning_rate
    )

    def schedule(step):
        return fall(step % each)

    return optax.with_extra_args_support(optax.adam(schedule, b1=0.9, b2=0.8))


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/style.py.

    Raises:
      UserError: where a picture or the network cannot be had, or do not go together.
    """
    require(config)
    studio, tx = Studio(config), make_optimizer(config)
    last = config.scales - 1

    def init(key):
        made = studio.first(key)
        params = {"pictures": made}
        return State(jnp.int32(0), params, tx.init(params), jnp.copy(made))

    def descend(number, state, fixed):
        """A step at one scale."""
        begins = number * config.num_steps // config.scales
        changing = state.params, state.opt_state, state.average
        if number:
            changing = lax.cond(
                state.step == begins,
                lambda tree: studio.grow(tree, number),
                lambda tree: tree,
                changing,
            )
        params, opt_state, average = studio.take(changing, number)

        # Of a size that does not change with the scale, so that what an optimiser knows
        # of a pixel's gradient is still true at the next one.
        pixels = math.prod(params["pictures"].shape[1:3])

        def loss(params):
            total, parts = studio.losses(fixed, number, params["pictures"])
            return pixels * total, parts

        (value, parts), grads = jax.value_and_grad(loss, has_aux=True)(params)
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(
            grads, opt_state, params,
            value=value, grad=grads, value_fn=lambda params: loss(params)[0],
        )  # fmt: skip
        params = optax.apply_updates(params, updates)
        params = jax.tree.map(lambda picture: jnp.clip(picture, 0, 1), params)
        average = moving_average(
            params["pictures"], average, config.average_decay, state.step - begins
        )
        parts["l2_params"] = optax.tree.norm(params)
        params, opt_state, average = studio.put(changing, (params, opt_state, average))
        return State(state.step + 1, params, opt_state, average), parts

    def step(state, batch, key):
        del key
        branches = [functools.partial(descend, n) for n in range(config.scales)]
        return lax.switch(studio.number(state.step), branches, state, batch)

    full = tuple(studio.shape[1:3])

    @jax.jit
    def judge(fixed, made):
        return studio.losses(fixed, last, made)[1]

    @functools.cache
    def ends():
        """Of the photograph itself, and of the painting in its place."""
        photograph = studio.fixed["scales"][last]["photograph"]
        painting = studio.stretched_painting()
        both = [np.broadcast_to(p, studio.shape) for p in (photograph, painting)]
        return [judge(studio.fixed, jnp.asarray(picture)) for picture in both]

    def finished(state):
        """[blends, height, width, 3] of the full size, whatever the scale."""
        number = studio.number(max(0, int(state.step) - 1))
        made = studio.take(state.average, number)
        return jax.image.resize(made, studio.shape, "cubic").clip(0, 1)

    def evaluate(state, key):
        del key
        parts = judge(studio.fixed, finished(state))
        photograph, painting = ends()
        return parts | {
            "minus_loss": -parts["loss"],
            "style_loss_of_photograph": photograph["style_loss"],
            "content_loss_of_painting": painting["content_loss"],
        }

    def seen(state):
        """[blends, height, width, 3] uint8."""
        made = [studio.shown(studio.fixed, last, one) for one in finished(state)]
        return np.uint8(np.round(255 * np.clip(np.stack(made), 0, 1)))

    def frames(state, key):
        del key
        small = min(1, _LARGEST_FRAME / max(full))
        shape = [max(1, round(side * small)) for side in full]
        return {"forming": drawing.resized(seen(state)[0], shape)}

    def figures(state, key):
        del key
        made = seen(state)
        photograph = studio.fixed["scales"][last]["photograph"]
        both = [photograph, *studio.paintings()]
        both = [np.uint8(np.round(255 * picture)) for picture in both]
        return {
            "picture": np.concatenate(made, axis=1),
            "side_by_side": drawing.beside([*both, *made]),
        }

    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        frames=frames,
        metric="minus_loss",
        counts={"pixels": studio.shape[0] * full[0] * full[1]},
        batches=batches.Fixed(studio.fixed),
        shown=("content_loss", "style_loss"),
    )
