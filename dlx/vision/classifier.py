"""Image classifiers, trained on softmax cross-entropy.

`config.network` is the network and `config.optimizer` the optimiser, AdamW unless the
config says otherwise. The learning rate rises linearly over `warmup_steps` and falls to
0 over the run as a cosine. An exponential moving average of the weights is
evaluated (Polyak and Juditsky 1992). With an `ema_decay` of 0 it equals the weights.
"""

import functools

import chex
from flax import linen as nn
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import choices, fields, gradients, optimizers, streams
from dlx.data import splits
from dlx.errors import UserError
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task
from dlx.vision import evaluation, networks

FIELDS = evaluation.FIELDS | {
    "network": choices.FIELD,
    "dtype": fields.choice("float32", "bfloat16"),
    "accumulate": fields.integer(),
    "features": fields.row(fields.integer()),
    "channels": fields.row(fields.integer()),
    "dropout": fields.real(0, below=1),
    "optimizer": choices.FIELD,
    "learning_rate": fields.real(above=0),
    "weight_decay": fields.real(0),
    "warmup_steps": fields.integer(0),
    "label_smoothing": fields.real(0, below=1),
    "ema_decay": fields.real(0, below=1),
}


@struct.dataclass
class State:
    """The state of training.

    Attributes:
      step: [] int32. The number of steps trained.
      params: The network's parameters.
      batch_stats: Running statistics of the network's batch normalisation.
      opt_state: The optimiser's state.
      average: Moving average of params and batch_stats, which is evaluated.
      scale: The scale of the training images.
    """

    step: jax.Array
    params: chex.ArrayTree
    batch_stats: chex.ArrayTree
    opt_state: chex.ArrayTree
    average: chex.ArrayTree
    scale: evaluation.Scale


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    """Softmax cross-entropy against smoothed labels (Szegedy et al. 2016, section 7).

    Args:
      logits: [batch, classes] float32.
      labels: [batch] integers.
      smoothing: The share of probability that is spread evenly over all classes.

    Returns:
      [batch] float32, in nats.
    """
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def make_network(config, data: evaluation.Data) -> nn.Module:
    """Makes the network of the config. Raises UserError if it is invalid."""
    shared = ("features", "channels", "dropout")
    return networks.make(
        config.network,
        num_classes=data.num_classes,
        examples=data.examples,
        dtype=jnp.dtype(config.get("dtype", "float32")),
        axis_name=devices.AXIS,
        **{name: config[name] for name in shared if name in config},
    )


def classify(config) -> tuple[evaluation.Data, evaluation.Logits]:
    """Returns the data, and (state, images) -> logits of the moving average."""
    data = evaluation.Data(config)
    network = make_network(config, data)

    @jax.jit
    def logits(state, images):
        return network.apply(state.average, state.scale(images), train=False)

    return data, logits


def feature_extractor(config, state: State):
    """Returns data, network and variables for use as a feature extractor."""
    data = evaluation.Data(config)
    return data, make_network(config, data), state.average


def make_optimizer(config) -> optax.GradientTransformation:
    """Makes the optimiser of the config. Raises UserError if it is invalid."""
    if config.num_steps <= config.warmup_steps:
        raise UserError(
            f"config.num_steps={config.num_steps} leaves no step after the warm-up of "
            f"config.warmup_steps={config.warmup_steps}"
        )
    return optimizers.make(
        config.get("optimizer", "adamw"),
        config.num_steps,
        learning_rate=config.learning_rate,
        schedule="cosine",
        warmup_updates=config.warmup_steps,
        weight_decay=config.weight_decay,
    )


def make_loss(config, network: nn.Module):
    """Returns the loss, (params, (images, labels), key, state) -> [], and new stats."""

    def loss(params, batch, key, state):
        images, labels = batch
        logits, new = network.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
        losses = cross_entropy(logits, labels, config.label_smoothing)
        return jnp.mean(losses), (new.get("batch_stats", {}), accuracy)

    return loss


def make_step(config, data: evaluation.Data, network: nn.Module, tx):
    """Returns the task's `step`."""
    loss = make_loss(config, network)
    micro_batches = devices.micro_batches(config)

    def step(state, batch, key):
        augment_key, dropout_key = jax.random.split(key)
        images = data.prepare(augment_key, batch, state.scale)
        gradient = gradients.value_and_grad(
            functools.partial(loss, state=state), micro_batches
        )
        (total, (stats, accuracy)), grads = gradient(
            state.params, (images, batch["labels"]), dropout_key
        )
        grads, stats = lax.pmean((grads, stats), devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        variables = {"params": params, "batch_stats": stats}
        average = optimizers.moving_average(
            variables, state.average, config.ema_decay, state.step
        )
        state = State(state.step + 1, params, stats, opt_state, average, state.scale)
        return state, {
            "loss": total,
            "accuracy": 100 * accuracy,
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
            "l2_updates": optax.tree.norm(updates),
        }

    return step


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/cnn_mnist.py.

    Raises:
      UserError: if the config is invalid or the data are missing.
    """
    tx = make_optimizer(config)
    data, logits = classify(config)
    network = make_network(config, data)

    def variables_of(key):
        return network.init(key, jnp.zeros((1, *data.shape)), train=False)

    # Networks raise here if they do not fit the images.
    jax.eval_shape(variables_of, streams.key(0, "unused"))

    def init(key):
        variables = variables_of(key)
        params, stats = variables["params"], variables.get("batch_stats", {})
        average = jax.tree.map(jnp.copy, {"params": params, "batch_stats": stats})
        return State(jnp.int32(0), params, stats, tx.init(params), average, data.scale)

    def filters(state):
        return networks.first_filters(state.average["params"], data.shape)

    return Task(
        init=init,
        step=make_step(config, data, network, tx),
        evaluate=evaluation.make_evaluate(data, logits),
        figures=evaluation.make_figures(data, logits, filters),
        metric="accuracy",
        selects=splits.selects(config),
        counts={"examples": config.batch_size},
        batches=data.batches,
    )


abilities = Abilities(classify=classify, features=feature_extractor)
