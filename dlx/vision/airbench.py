"""The recipe of "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (Jordan 2024).

The recipe has Nesterov SGD on the summed cross-entropy of smoothed labels, a triangular
schedule, larger learning rates for biases, lookahead, and test-time augmentation with
six views of each image.
"""

import chex
from flax import linen as nn
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import choices, fields, streams
from dlx.data import splits
from dlx.errors import user_error_in
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task
from dlx.vision import airbench_network, evaluation
from dlx.vision.airbench_optimizer import lookahead, make_optimizer
from dlx.vision.classifier import cross_entropy

FIELDS = evaluation.FIELDS | {
    "widths": fields.row(fields.integer(), 1),
    "patch": fields.integer(),
    "patch_stride": fields.integer(),
    "dtype": fields.choice("float32", "bfloat16"),
    "optimizer": choices.FIELD,
    "learning_rate": fields.real(above=0),
    "bias_scale": fields.real(above=0),
    "weight_decay": fields.real(0),
    "momentum": fields.real(0, below=1),
    "whiten_bias_steps": fields.integer(0),
    "label_smoothing": fields.real(0, below=1),
}


@struct.dataclass
class State:
    """The state of training.

    Attributes:
      step: [] int32. The number of steps trained.
      params: The network's parameters.
      batch_stats: Running statistics of the network's batch normalisation.
      opt_state: The optimiser's state.
      slow: Lookahead's slow weights, {'params', 'batch_stats'}, which are evaluated.
      scale: The scale of the training images.
    """

    step: jax.Array
    params: chex.ArrayTree
    batch_stats: chex.ArrayTree
    opt_state: chex.ArrayTree
    slow: chex.ArrayTree
    scale: evaluation.Scale


def make_network(config, data: evaluation.Data) -> nn.Module:
    """Makes the network; its first layer whitens patches of the training images."""
    with user_error_in(f"config, {config.dataset}"):
        return airbench_network.whitened(
            data.num_classes,
            data.examples,
            config.patch,
            config.patch_stride,
            tuple(config.widths),
            whiten_bias=config.whiten_bias_steps > 0,
            dtype=jnp.dtype(config.dtype),
            axis_name=devices.AXIS,
        )


def classify(config) -> tuple[evaluation.Data, evaluation.Logits]:
    """Returns the data, and (state, images) -> logits, averaged over all views."""
    data = evaluation.Data(config)
    return data, _logits(make_network(config, data))


def feature_extractor(config, state: State):
    """Returns data, network and variables for use as a feature extractor."""
    data = evaluation.Data(config)
    return data, make_network(config, data), state.slow


def _logits(network):
    @jax.jit
    def logits(state, images):
        return sum(
            weight * network.apply(state.slow, view, train=False)
            for weight, view in airbench_network.views(state.scale(images))
        )

    return logits


def make_loss(config, network: nn.Module):
    """Returns the loss, (params, state, images, labels) -> [], and new stats."""

    def loss(params, state, images, labels):
        """Summed loss; its mean over devices is the sum over the global batch."""
        logits, new = network.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
        )
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
        mean = jnp.mean(cross_entropy(logits, labels, config.label_smoothing))
        return config.batch_size * mean, (new["batch_stats"], mean, accuracy)

    return loss


def make_step(config, data: evaluation.Data, network: nn.Module, tx):
    """Returns the task's `step`."""
    loss = make_loss(config, network)

    def step(state, batch, key):
        images = data.prepare(key, batch, state.scale)
        grads, (stats, mean, accuracy) = jax.grad(loss, has_aux=True)(
            state.params, state, images, batch["labels"]
        )
        grads, stats = lax.pmean((grads, stats), devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        step = state.step + 1
        fast = {"params": params, "batch_stats": stats}
        fast, slow = lookahead(fast, state.slow, step, config.num_steps)
        state = state.replace(step=step, opt_state=opt_state, slow=slow, **fast)
        return state, {
            "loss": mean,
            "accuracy": 100 * accuracy,
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
        }

    return step


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/airbench_cifar10.py.

    Raises:
      UserError: if the config is invalid or the data are missing.
    """
    data = evaluation.Data(config)
    network = make_network(config, data)
    template = jax.eval_shape(
        lambda key: network.init(key, jnp.zeros((1, *data.shape)), train=False),
        streams.key(0, "unused"),
    )
    tx = make_optimizer(config, template["params"])

    def init(key):
        variables = network.init(key, jnp.zeros((1, *data.shape)), train=False)
        params, stats = variables["params"], variables["batch_stats"]
        slow = jax.tree.map(jnp.copy, {"params": params, "batch_stats": stats})
        return State(jnp.int32(0), params, stats, tx.init(params), slow, data.scale)

    def filters(state):
        return state.slow["params"]["whiten"]["kernel"]

    logits = _logits(network)
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
