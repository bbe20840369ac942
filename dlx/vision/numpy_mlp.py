"""Back-propagation by hand: a fully connected network in NumPy, as a lesson.

Every layer is a pair of functions. `forward` computes the output, and caches the values
that `backward` needs. `backward` turns the gradient with respect to the output into the
gradients with respect to the input and the weights, by the chain rule. Training calls
`forward` of each layer in order, and then `backward` of each in reverse order.

The loop's compiled steps call NumPy through `jax.pure_callback`, which passes batches
in and weights out. The loop treats this task like any other.
"""

import itertools

from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx import fields
from dlx.data import splits
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task
from dlx.vision import evaluation

FIELDS = evaluation.FIELDS | {
    "features": fields.row(fields.integer()),
    "learning_rate": fields.real(above=0),
    "momentum": fields.real(0, below=1),
    "weight_decay": fields.real(0),
}


@struct.dataclass
class State:
    """The state of training.

    Attributes:
      step: [] int32. The number of steps trained.
      params: A pair of weights [inputs, outputs] and biases [outputs] for each layer.
      velocity: The momentum of each parameter, with the structure of `params`.
      scale: The scale of the training images.
    """

    step: jax.Array
    params: list[tuple[jax.Array, jax.Array]]
    velocity: list[tuple[jax.Array, jax.Array]]
    scale: evaluation.Scale


def linear_forward(x, weights, bias):
    """y = x W + b: [batch, inputs] -> [batch, outputs]."""
    return x @ weights + bias, (x, weights)


def linear_backward(dy, cache):
    """dL/dx = dy W^T, dL/dW = x^T dy, and dL/db, the sum of the rows of dy = dL/dy."""
    x, weights = cache
    return dy @ weights.T, x.T @ dy, dy.sum(axis=0)


def relu_forward(x):
    """y = max(x, 0)."""
    return np.maximum(x, 0), x > 0


def relu_backward(dy, positive):
    """dL/dx is dL/dy if x was positive, otherwise 0."""
    return dy * positive


def cross_entropy_forward(logits, labels):
    """Mean of -log softmax(logits)[label]: ([batch, classes], [batch]) -> []."""
    shifted = logits - logits.max(axis=1, keepdims=True)  # prevents overflow
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    batch = np.arange(len(labels))
    return -log_probs[batch, labels].mean(), (log_probs, labels)


def cross_entropy_backward(cache):
    """dL/dlogits = (softmax - one-hot) / batch."""
    log_probs, labels = cache
    d_logits = np.exp(log_probs)
    d_logits[np.arange(len(labels)), labels] -= 1
    return d_logits / np.float32(len(labels))


def forward(params, x):
    """The network: [batch, inputs] -> logits [batch, classes], and all caches."""
    caches = []
    for number, (weights, bias) in enumerate(params):
        x, linear = linear_forward(x, weights, bias)
        is_hidden = number < len(params) - 1
        x, relu = relu_forward(x) if is_hidden else (x, None)
        caches.append((linear, relu))
    return x, caches


def loss_and_gradients(params, x, labels):
    """Returns the loss [] and its gradients, with the structure of `params`."""
    logits, caches = forward(params, x)
    loss, loss_cache = cross_entropy_forward(logits, labels)
    dx, gradients = cross_entropy_backward(loss_cache), []
    for linear, relu in reversed(caches):
        dx = dx if relu is None else relu_backward(dx, relu)
        dx, d_weights, d_bias = linear_backward(dx, linear)
        gradients.append((d_weights, d_bias))
    return loss, gradients[::-1]


def momentum_step(params, velocity, gradients, learning_rate, momentum, weight_decay):
    """v <- momentum v + g + weight_decay w; w <- w - learning_rate v.

    Returns:
      The new params and velocity.
    """
    new_params, new_velocity = [], []
    for weights_and_bias in zip(params, velocity, gradients, strict=True):
        layer = []
        for w, v, g in zip(*weights_and_bias, strict=True):
            v = momentum * v + g + weight_decay * w
            layer.append((w - learning_rate * v, v))
        new_params.append(tuple(w for w, _ in layer))
        new_velocity.append(tuple(v for _, v in layer))
    return new_params, new_velocity


def initial(generator: np.random.Generator, widths):
    """Draws weights of variance 2 / inputs (He et al. 2015, eq. 10); biases are 0."""
    return [
        (
            generator.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype("f4"),
            np.zeros(outputs, "f4"),
        )
        for inputs, outputs in itertools.pairwise(widths)
    ]


def classify(config) -> tuple[evaluation.Data, evaluation.Logits]:
    """Returns the data, and (state, images) -> logits."""
    data = evaluation.Data(config)

    def logits(state, images):
        params, images = jax.tree.map(np.asarray, (state.params, state.scale(images)))
        return forward(params, images.reshape(len(images), -1))[0]

    return data, logits


def make_init(data: evaluation.Data, widths):
    """Returns the task's `init`."""

    def draw(seed):
        return initial(np.random.default_rng(np.asarray(seed)), widths)

    def init(key):
        shapes = jax.eval_shape(
            lambda: [
                (jnp.zeros((i, o)), jnp.zeros(o)) for i, o in itertools.pairwise(widths)
            ]
        )
        seed = jax.random.bits(key, (4,), jnp.uint32)
        params = jax.pure_callback(draw, shapes, seed, vmap_method="sequential")
        return State(
            jnp.int32(0), params, jax.tree.map(jnp.zeros_like, params), data.scale
        )

    return init


def make_step(config, data: evaluation.Data):
    """Returns the task's `step`."""

    def gradients(params, images, labels):
        params, images, labels = jax.tree.map(np.asarray, (params, images, labels))
        return loss_and_gradients(params, images.reshape(len(images), -1), labels)

    def move(params, velocity, grads, learning_rate):
        arguments = jax.tree.map(np.asarray, (params, velocity, grads, learning_rate))
        return momentum_step(*arguments, config.momentum, config.weight_decay)

    def step(state, batch, key):
        images = data.prepare(key, batch, state.scale)
        params = state.params
        loss, grads = jax.pure_callback(
            gradients,
            jax.eval_shape(lambda: (jnp.float32(0), params)),
            *(params, images, batch["labels"]),
            vmap_method="sequential",
        )
        grads = lax.pmean(grads, devices.AXIS)
        progress = state.step / config.num_steps
        learning_rate = config.learning_rate * (1 - progress)  # falls linearly to 0
        params, velocity = jax.pure_callback(
            move,
            jax.eval_shape(lambda: (params, params)),
            *(params, state.velocity, grads, learning_rate),
            vmap_method="sequential",
        )
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(w)) for w in jax.tree.leaves(params)))
        metrics = {"loss": loss, "l2_params": norm}
        return State(state.step + 1, params, velocity, state.scale), metrics

    return step


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/numpy_mnist.py.

    Raises:
      UserError: if the config is invalid or the data are missing.
    """
    data, logits = classify(config)
    widths = [int(np.prod(data.shape)), *config.features, data.num_classes]

    def filters(state):
        return np.asarray(state.params[0][0]).reshape(*data.shape, -1)

    return Task(
        init=make_init(data, widths),
        step=make_step(config, data),
        evaluate=evaluation.make_evaluate(data, logits),
        figures=evaluation.make_figures(data, logits, filters),
        metric="accuracy",
        selects=splits.selects(config),
        counts={"examples": config.batch_size},
        batches=data.batches,
    )


abilities = Abilities(classify=classify)
