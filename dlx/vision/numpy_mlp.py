"""Back-propagation by hand: a fully connected network in NumPy, to read as a lesson.

Every layer is a pair: `forward` computes the output and keeps what `backward` will
want; `backward` turns the gradient with respect to the output into those with respect
to the input and the weights, by the chain rule. The network is those pairs in a row,
and training walks the row forwards, then backwards.

Only this much is not NumPy: batches come in and weights go out through a callback from
the loop's compiled steps (`jax.pure_callback`), so that this task asks nothing of the
loop that others do not.
"""

import itertools

from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx.errors import UserError
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task
from dlx.vision import evaluation


@struct.dataclass
class State:
    """What training changes.

    Attributes:
      step: [] int32.
      params: A pair of weights [inputs, outputs] and biases [outputs] for each layer.
      velocity: As params.
      scale: Of the images that it was trained on.
    """

    step: jax.Array
    params: list[tuple[jax.Array, jax.Array]]
    velocity: list[tuple[jax.Array, jax.Array]]
    scale: evaluation.Scale


def linear_forward(x, weights, bias):
    """y = x W + b: [batch, inputs] -> [batch, outputs]."""
    return x @ weights + bias, (x, weights)


def linear_backward(dy, kept):
    """From dL/dy: dL/dx = dy W^T, dL/dW = x^T dy, dL/db = the sum of dy's rows."""
    x, weights = kept
    return dy @ weights.T, x.T @ dy, dy.sum(axis=0)


def relu_forward(x):
    """y = max(x, 0)."""
    return np.maximum(x, 0), x > 0


def relu_backward(dy, positive):
    """dL/dx is dL/dy where x was positive, else 0."""
    return dy * positive


def cross_entropy_forward(logits, labels):
    """Mean of -log softmax(logits)[label]: ([batch, classes], [batch]) -> []."""
    shifted = logits - logits.max(axis=1, keepdims=True)  # the same, and no overflow
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    batch = np.arange(len(labels))
    return -log_probs[batch, labels].mean(), (log_probs, labels)


def cross_entropy_backward(kept):
    """dL/dlogits = (softmax - one-hot) / batch."""
    log_probs, labels = kept
    d_logits = np.exp(log_probs)
    d_logits[np.arange(len(labels)), labels] -= 1
    return d_logits / np.float32(len(labels))


def forward(params, x):
    """The network: [batch, inputs] -> logits [batch, classes], and what was kept."""
    kept = []
    for number, (weights, bias) in enumerate(params):
        x, linear = linear_forward(x, weights, bias)
        is_hidden = number < len(params) - 1
        x, relu = relu_forward(x) if is_hidden else (x, None)
        kept.append((linear, relu))
    return x, kept


def loss_and_gradients(params, x, labels):
    """The loss [] and its gradients, a pair for each layer, as params."""
    logits, kept = forward(params, x)
    loss, of_loss = cross_entropy_forward(logits, labels)
    dx, gradients = cross_entropy_backward(of_loss), []
    for linear, relu in reversed(kept):
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
    """Weights of variance 2 / inputs, for ReLU (He et al. 2015, eq. 10); biases 0."""
    return [
        (
            generator.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype("f4"),
            np.zeros(outputs, "f4"),
        )
        for inputs, outputs in itertools.pairwise(widths)
    ]


def classify(config) -> tuple[evaluation.Data, evaluation.Logits]:
    """The data, and (state, images) -> logits."""
    data = evaluation.Data(config)

    def logits(state, images):
        params, images = jax.tree.map(np.asarray, (state.params, state.scale(images)))
        return forward(params, images.reshape(len(images), -1))[0]

    return data, logits


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/numpy_mnist.py.

    Raises:
      UserError: where the data cannot be had or the layers have no width.
    """
    if not all(isinstance(w, int) and w > 0 for w in config.features):
        raise UserError(f"config.features must be positive, got {config.features}")
    data, logits = classify(config)
    widths = [int(np.prod(data.shape)), *config.features, data.num_classes]

    def init(key):
        def draw(seed):
            return initial(np.random.default_rng(np.asarray(seed)), widths)

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

    def gradients(params, images, labels):
        params, images, labels = jax.tree.map(np.asarray, (params, images, labels))
        return loss_and_gradients(params, images.reshape(len(images), -1), labels)

    def move(params, velocity, grads, learning_rate):
        arguments = jax.tree.map(np.asarray, (params, velocity, grads, learning_rate))
        return momentum_step(*arguments, config.momentum, config.weight_decay)

    def step(state, batch, key):
        images = data.prepare(key, batch, state.scale)
        params = state.params
        shapes = jax.eval_shape(lambda: (jnp.float32(0), params))
        loss, grads = jax.pure_callback(
            gradients, shapes, params, images, batch["labels"], vmap_method="sequential"
        )
        grads = lax.pmean(grads, devices.AXIS)
        done = state.step / config.num_steps
        learning_rate = config.learning_rate * (1 - done)  # falls linearly to 0
        params, velocity = jax.pure_callback(
            move,
            jax.eval_shape(lambda: (params, params)),
            params,
            state.velocity,
            grads,
            learning_rate,
            vmap_method="sequential",
        )
        size = jnp.sqrt(sum(jnp.sum(jnp.square(w)) for w in jax.tree.leaves(params)))
        return State(state.step + 1, params, velocity, state.scale), {
            "loss": loss,
            "l2_params": size,
        }

    def filters(state):
        return np.asarray(state.params[0][0]).reshape(*data.shape, -1)

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


abilities = Abilities(classify=classify)
