"""Classifiers of images: a network, softmax cross-entropy, and a schedule.

The network is `config.network`; AdamW moves it, at a learning rate that rises linearly
over `warmup_steps` and falls to 0 over the run as a cosine does. What is judged is an
exponential moving average of the weights (Polyak and Juditsky 1992) where `ema_decay`
is not 0.
"""

import chex
from flax import linen as nn
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx.errors import UserError, require_at_least_0, user_error_in
from dlx.optimizers import moving_average
from dlx.runtime import devices
from dlx.runtime.task import Task
from dlx.vision import evaluation, networks


@struct.dataclass
class State:
    """What training changes.

    Attributes:
      step: [] int32.
      params: The network's.
      batch_stats: Its batch normalisation's running statistics.
      opt_state: The optimiser's.
      average: Of params and batch_stats, what is judged.
      scale: Of the images that it was trained on.
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
      smoothing: What of the probability is spread evenly over all classes.

    Returns:
      [batch] float32, in nats.
    """
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def make_network(config, num_classes: int) -> nn.Module:
    """The network that the config describes; a UserError where that is none."""
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
    """The data, and (state, images) -> logits, as it is judged."""
    data = evaluation.Data(config)
    network = make_network(config, data.num_classes)

    @jax.jit
    def logits(state, images):
        return network.apply(state.average, state.scale(images), train=False)

    return data, logits


def looking(config, state: State):
    """The data, the network and its variables, for what wants features."""
    data = evaluation.Data(config)
    return data, make_network(config, data.num_classes), state.average


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/cnn_mnist.py.

    Raises:
      UserError: where the data cannot be had or the config makes no network.
    """
    require_at_least_0(config, "warmup_steps")
    if config.num_steps <= config.warmup_steps:
        raise UserError(
            f"config.num_steps={config.num_steps} leaves no step after "
            f"config.warmup_steps={config.warmup_steps}, over which the learning rate "
            "rises"
        )
    data, logits = classify(config)
    network = make_network(config, data.num_classes)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, config.num_steps
    )
    tx = optax.adamw(schedule, weight_decay=config.weight_decay)

    def init(key):
        variables = network.init(key, jnp.zeros((1, *data.shape)), train=False)
        params, stats = variables["params"], variables.get("batch_stats", {})
        average = jax.tree.map(jnp.copy, {"params": params, "batch_stats": stats})
        return State(jnp.int32(0), params, stats, tx.init(params), average, data.scale)

    def loss(params, state, images, labels, key):
        logits, new = network.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        right = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
        losses = cross_entropy(logits, labels, config.label_smoothing)
        return jnp.mean(losses), (new.get("batch_stats", {}), right)

    def step(state, batch, key):
        augment_key, dropout_key = jax.random.split(key)
        images = data.prepare(augment_key, batch, state.scale)
        (total, (stats, right)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params, state, images, batch["labels"], dropout_key
        )
        grads, stats = lax.pmean((grads, stats), devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        now = {"params": params, "batch_stats": stats}
        average = moving_average(now, state.average, config.ema_decay, state.step)
        state = State(state.step + 1, params, stats, opt_state, average, state.scale)
        return state, {
            "loss": total,
            "accuracy": 100 * right,
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
            "l2_updates": optax.tree.norm(updates),
        }

    def filters(state):
        return networks.first_filters(state.average["params"], data.shape)

    evaluate, figures = evaluation.judges(data, logits, filters)
    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        metric="accuracy",
        counts={"examples": config.batch_size},
        batches=data.batches,
    )
