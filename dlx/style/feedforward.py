"""A network that stylises images in one pass (Johnson, Alahi and Fei-Fei 2016).

The losses of optimise.py are computed for the network's outputs on photos.
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx import fields, figures, optimizers
from dlx.data import batches, images, splits
from dlx.errors import UserError
from dlx.runtime import devices, memory
from dlx.runtime.task import Abilities, Task
from dlx.style import losses
from dlx.style.resolution import FIELDS as STYLE_FIELDS
from dlx.style.resolution import Resolution, loss_weights, total_loss
from dlx.style.stylizer import Stylizer
from dlx.vision.pretrained import features

_SHOWN = 4  # photos in the figure

FIELDS = (
    optimizers.FIELDS
    | batches.FIELDS
    | STYLE_FIELDS
    | {
        "image_size": fields.integer(1, images.LARGEST),
        "crop": fields.integer(1, images.LARGEST),
        "eval_images": fields.integer(),
        "channels": fields.row(fields.integer(), 1),
        "blocks": fields.integer(0, 64),
    }
)


@struct.dataclass
class State:
    """The training state.

    Attributes:
      step: [] int32. The number of completed steps.
      params: The network's parameters.
      opt_state: The optimiser's state.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree


def make_network(config) -> Stylizer:
    """Makes the network."""
    return Stylizer(tuple(config.channels), config.blocks)


def paint(config):
    """Makes a jitted function that stylises images of any size.

    Returns:
      (params, [batch, height, width, 3] float32 in [0, 1]) -> the same shape and range.
    """
    # Outside a loop XLA's own convolution uses all threads, without large matrices.
    network = make_network(config).clone(convolution=lax.conv_general_dilated)
    return jax.jit(lambda params, photographs: network.apply(params, photographs))


def crop(key: jax.Array, images: jax.Array, side: int) -> jax.Array:
    """Cuts a random square out of each image and mirrors it with probability 1/2.

    Args:
      key: The random key.
      images: [batch, size, size, 3].
      side: The squares' side in pixels.

    Returns:
      [batch, side, side, 3].
    """
    corner_key, flip_key = jax.random.split(key)
    last = images.shape[1] - side
    corners = jax.random.randint(corner_key, (len(images), 2), 0, last + 1)

    def cut(image, corner):
        return lax.dynamic_slice(image, (*corner, 0), (side, side, 3))

    flipped = jax.random.bernoulli(flip_key, shape=(len(images), 1, 1, 1))
    images = jax.vmap(cut)(images, corners)
    return jnp.where(flipped, images[:, :, ::-1], images)


def require(config) -> None:
    """Raises UserError if the config is invalid."""
    if config.crop > config.image_size:
        raise UserError(
            f"config.crop={config.crop} is more than config.image_size="
            f"{config.image_size}"
        )
    loss_weights(config)  # checks them


def make_optimizer(config) -> optax.GradientTransformation:
    """Makes the optimiser of the config. Raises UserError if it is invalid."""
    return optimizers.make(
        config.get("optimizer", "adam"),
        config.num_steps,
        learning_rate=config.learning_rate,
        schedule="linear",
        max_grad_norm=config.max_grad_norm,
    )


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/fast_style.py.

    Raises:
      UserError: if the config is invalid, or photos, painting or network are missing.
    """
    require(config)
    network, tx = make_network(config), make_optimizer(config)
    extractor = features.load(config, (*config.content_layers, *config.style_layers))
    resolution = Resolution(config, extractor, (config.crop, config.crop))
    fixed = {
        "variables": extractor.variables,
        "weights": loss_weights(config),
        "style": _painting_statistics(config, extractor),
    }
    training, _ = batches.of_images(config)
    test = _test_images(config)
    batch_losses = make_losses(network, resolution)

    def init(key):
        params = network.init(key, jnp.zeros((1, config.crop, config.crop, 3)))
        return State(jnp.int32(0), params, tx.init(params))

    def step(state, batch, key):
        photographs = crop(key, batch["photographs"]["images"], config.crop) / 255.0
        grads, metrics = jax.grad(batch_losses, has_aux=True)(
            state.params, batch["fixed"], photographs
        )
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics["l2_params"] = optax.tree.norm(params)
        return State(state.step + 1, params, opt_state), metrics

    draw, frames = make_figures(config, test)
    return Task(
        init=init,
        step=step,
        evaluate=make_evaluate(config, batch_losses, fixed, test),
        figures=draw,
        frames=frames,
        metric="minus_loss",
        selects=splits.selects(config),
        counts={"examples": config.batch_size},
        batches=batches.Combined(photographs=training, fixed=batches.Fixed(fixed)),
        shown=("content_loss", "style_loss"),
    )


def _painting_statistics(config, extractor):
    """Style statistics of the painting: {layer: Statistics}."""
    painting = images.read(config.style)
    shape = images.shape_at(painting, config.crop * config.style_scale)
    return memory.run(
        f"the features of a painting of {shape[1]}x{shape[0]} pixels",
        Resolution(config, extractor, shape).statistics,
        extractor.variables,
        images.resize(painting, shape),
    )


def _test_images(config):
    """Test images, [config.eval_images, size, size, 3] uint8."""
    test = batches.evaluated(config).images[: config.eval_images]
    if test.shape[-1] != 3:
        raise UserError(
            f"config.dataset={config.dataset} has grey images; the network needs colour"
        )
    return test


def make_losses(network: Stylizer, resolution: Resolution):
    """Makes a function that computes the losses of the network's outputs.

    Returns:
      (params, fixed, photographs [batch, side, side, 3] float32 in [0, 1]) -> the mean
      total loss, and the mean of each term.
    """

    def batch_losses(params, fixed, photographs):
        def of_picture(photograph, painted):
            content = resolution.content(fixed["variables"], photograph)
            content_loss, style_losses = resolution.losses(
                fixed, painted, None, content, [fixed["style"]]
            )
            return content_loss, style_losses[0], losses.total_variation(painted)

        painted = network.apply(params, photographs)
        terms = jax.vmap(of_picture)(photographs, painted)
        content, style, variation = map(jnp.mean, terms)
        loss = total_loss(fixed["weights"], content, style, variation)
        return loss, {"loss": loss, "content_loss": content, "style_loss": style}

    return batch_losses


def make_evaluate(config, batch_losses, fixed, test: np.ndarray):
    """Makes the Task's `evaluate`: losses at the centres of the test images."""
    edge = (config.image_size - config.crop) // 2
    measure = jax.jit(batch_losses)

    def evaluate(state, key):
        del key
        centres = test[:, edge:, edge:][:, : config.crop, : config.crop]
        _, metrics = measure(state.params, fixed, centres / np.float32(255))
        return metrics | {"minus_loss": -metrics["loss"]}

    return evaluate


def make_figures(config, test: np.ndarray):
    """Makes the Task's `figures` and `frames` of stylised test images."""
    painter = paint(config)

    def painted(state, photographs):
        """[batch, size, size, 3] uint8 -> the same shape and type."""
        pictures = [
            painter(state.params, image[None] / np.float32(255))
            for image in photographs
        ]
        return np.uint8(np.round(255 * np.concatenate(pictures)))

    def draw(state, key):
        del key
        photographs = test[:_SHOWN]
        pairs = np.concatenate([photographs, painted(state, photographs)])
        sheet = figures.sheet(pairs, len(photographs))
        return {"photographs_over_painted": sheet}

    def frames(state, key):
        del key
        return {"painted": figures.beside([test[0], painted(state, test[:1])[0]])}

    return draw, frames


abilities = Abilities(paint=paint)
