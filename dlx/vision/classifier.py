"""Image classifiers, trained with AdamW on softmax cross-entropy.

`config.network` is the network. The learning rate rises linearly over `warmup_steps`
and falls to 0 over the run as a cosine. An exponential moving average of the weights is
evaluated (Polyak and Juditsky 1992); with an `ema_decay` of 0 it equals the weights.
"""

import chex
from flax import linen as nn
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import fields
from dlx.errors import UserError, user_error_in
from dlx.optimizers import moving_average
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task
from dlx.vision import evaluation, networks

FIELDS = evaluation.FIELDS | {
    "network": fields.choice("mlp", "cnn"),
    "features": fields.row(fields.integer()),
    "channels": fields.row(fields.integer()),
    "dropout": fields.real(0, below=1),
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


def make_network(config, num_classes: int) -> nn.Module:
    """Makes the network of the config. Raises UserError if it is invalid."""
    with user_error_in("config.network"):
        return networks.make(
            config.network,
            num_classes=num_classes,
            features=config.features,
            channels=config.channels,
            dropout=config.dropout,
            axis_name=devices.AXIS,
        )


def classify(config) -> tuple[evaluation.Data, evaluation.Logits]:
    """Returns the data, and (state, images) -> logits of the moving average."""
    data = evaluation.Data(config)
    network = make_network(config, data.num_classes)

    @jax.jit
    def logits(state, images):
        return network.apply(state.average, state.scale(images), train=False)

    return data, logits


def feature_extractor(config, state: State):
    """Returns data, network and variables for use as a feature extractor."""
    data = evaluation.Data(config)
    return data, make_network(config, data.num_classes), state.average


def make_optimizer(config) -> optax.GradientTransformation:
    """Makes AdamW with a warm-up and a cosine decay. Raises UserError if invalid."""
    if config.num_steps <= config.warmup_steps:
        raise UserError(
            f"config.num_steps={config.num_steps} leaves no step after the warm-up of "
            f"config.warmup_steps={config.warmup_steps}"
        )
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, config.num_steps
    )
    return optax.adamw(schedule, weight_decay=config.weight_decay)


def make_loss(config, network: nn.Module):
    """Returns the loss, (params, state, images, labels, key) -> [], and new stats."""

    def loss(params, state, images, labels, key):
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

    def step(state, batch, key):
        augment_key, dropout_key = jax.random.split(key)
        images = data.prepare(augment_key, batch, state.scale)
        (total, (stats, accuracy)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params, state, images, batch["labels"], dropout_key
        )
        grads, stats = lax.pmean((grads, stats), devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        variables = {"params": params, "batch_stats": stats}
        average = moving_average(variables, state.average, config.ema_decay, state.step)
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
    network = make_network(config, data.num_classes)

    def init(key):
        variables = network.init(key, jnp.zeros((1, *data.shape)), train=False)
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
        counts={"examples": config.batch_size},
        batches=data.batches,
    )


abilities = Abilities(classify=classify, features=feature_extractor)
