"""A network that paints in one style (Johnson, Alahi and Fei-Fei 2016).

The losses are those of optimise.py, of what the network makes of photographs.
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx import figures as drawing
from dlx import optimizers
from dlx.data import batches, sources
from dlx.data import images as pictures
from dlx.errors import UserError, blame, require_one_of, require_positive
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task
from dlx.style import features
from dlx.style import losses as styles
from dlx.style.networks.stylizer import Stylizer
from dlx.style.problem import Scale, total, weights

_SHOWN = 4


@struct.dataclass
class State:
    """What training changes.

    Attributes:
      step: [] int32.
      params: The network's.
      opt_state: The optimiser's.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree


def make_network(config) -> Stylizer:
    """The network that the config describes; a UserError where that is none."""
    with blame("config.channels"):
        channels = tuple(config.channels)
        if not channels or min(channels) < 1 or config.blocks < 0:
            raise ValueError(f"layers need positive widths, got {channels}")
    return Stylizer(channels, config.blocks)


def paint(config):
    """A jitted (params, [batch, height, width, 3] float32 in [0, 1]) -> the same."""
    # Outside of a loop the primitive has all threads, and no need of large matrices.
    network = make_network(config).clone(convolution=lax.conv_general_dilated)
    return jax.jit(lambda params, photographs: network.apply(params, photographs))


def crop(key: jax.Array, images: jax.Array, side: int) -> jax.Array:
    """A square of each image, anywhere in it, perhaps mirrored.

    Args:
      key: Of where.
      images: [batch, size, size, 3].
      side: Of the squares.
    """
    corner_key, flip_key = jax.random.split(key)
    last = images.shape[1] - side
    corners = jax.random.randint(corner_key, (len(images), 2), 0, last + 1)

    def cut(image, corner):
        return lax.dynamic_slice(image, (*corner, 0), (side, side, 3))

    flipped = jax.random.bernoulli(flip_key, shape=(len(images), 1, 1, 1))
    images = jax.vmap(cut)(images, corners)
    return jnp.where(flipped, images[:, :, ::-1], images)


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/fast_style.py.

    Raises:
      UserError: where photographs, painting or network cannot be had.
    """
    require_one_of(config, "style_loss", tuple(styles.LOSSES))
    require_positive(config, "crop", "batch_size")
    if config.crop > config.image_size:
        raise UserError(
            f"config.crop={config.crop} is more than config.image_size="
            f"{config.image_size}"
        )
    network, tx = make_network(config), optimizers.make(config)
    layers = *config.content_layers, *config.style_layers
    looking = features.load(config, layers)
    scale = Scale(config, looking, (config.crop, config.crop))
    painting = pictures.read(config.style)
    shape = pictures.shape_at(painting, config.crop * config.style_scale)
    targets = jax.jit(Scale(config, looking, shape).statistics)(
        looking.variables, pictures.resize(painting, shape)
    )
    fixed = {
        "variables": looking.variables,
        "weights": weights(config),
        "style": targets,
    }
    training, _ = batches.of_images(config)
    where = config.data_dir, config.manual_dir, config.image_size
    test = sources.load(config.dataset, "test", *where).images[: config.eval_images]
    if test.shape[-1] != 3:
        raise UserError(f"config.dataset={config.dataset} has no colours")

    def losses(params, fixed, photographs):
        """The whole, and its parts; means over [batch, side, side, 3] in [0, 1]."""

        def one(photograph, made):
            content = scale.content(fixed["variables"], photograph)
            content, style = scale.differences(
                fixed, made, None, content, [fixed["style"]]
            )
            return content, style[0], styles.total_variation(made)

        made = network.apply(params, photographs)
        content, style, variation = map(jnp.mean, jax.vmap(one)(photographs, made))
        loss = total(fixed["weights"], content, style, variation)
        return loss, {"loss": loss, "content_loss": content, "style_loss": style}

    def init(key):
        params = network.init(key, jnp.zeros((1, config.crop, config.crop, 3)))
        return State(jnp.int32(0), params, tx.init(params))

    def step(state, batch, key):
        photographs = crop(key, batch["photographs"]["images"], config.crop) / 255.0
        grads, parts = jax.grad(losses, has_aux=True)(
            state.params, batch["fixed"], photographs
        )
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        parts["l2_params"] = optax.tree.norm(params)
        return State(state.step + 1, params, opt_state), parts

    def middle(images):
        edge = (config.image_size - config.crop) // 2
        return images[:, edge:, edge:][:, : config.crop, : config.crop] / np.float32(
            255
        )

    judge, painter = jax.jit(losses), paint(config)

    def evaluate(state, key):
        del key
        _, parts = judge(state.params, fixed, middle(test))
        return parts | {"minus_loss": -parts["loss"]}

    def seen(state, images):
        made = [
            painter(state.params, image[None] / np.float32(255)) for image in images
        ]
        return np.uint8(np.round(255 * np.concatenate(made)))

    def frames(state, key):
        del key
        return {"painted": drawing.beside([test[0], seen(state, test[:1])[0]])}

    def figures(state, key):
        del key
        some = test[:_SHOWN]
        pairs = np.concatenate([some, seen(state, some)])
        return {"photographs_over_painted": drawing.sheet(pairs, len(some))}

    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        frames=frames,
        metric="minus_loss",
        counts={"examples": config.batch_size},
        batches=batches.Combined(photographs=training, fixed=batches.Fixed(fixed)),
        shown=("content_loss", "style_loss"),
    )


abilities = Abilities(paint=paint)
