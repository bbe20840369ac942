"""Straight paths from noise to data: loss, guidance and solvers.

At time t in [0, 1] a path is at x_t = (1 - t) noise + t x; its velocity is x - noise.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

SOLVERS = "euler", "heun"
Velocity = Callable[[jax.Array, jax.Array], jax.Array]


def times(key: jax.Array, number: int) -> jax.Array:
    """Draws logit-normal times, [number], whose quantiles are evenly spaced.

    Times in the middle are the hardest and are drawn more often (Esser et al. 2024,
    equation 19, with mean 0 and deviation 1). Even quantiles make the loss vary less
    from batch to batch (Kingma et al. 2021, appendix I.1).
    """
    quantiles = (jax.random.uniform(key) + jnp.arange(number) / number) % 1.0
    return jax.nn.sigmoid(jax.scipy.special.ndtri(quantiles))


def loss(
    velocity: Velocity, x: jax.Array, noise: jax.Array, time: jax.Array
) -> jax.Array:
    """Squared error of the velocities, E |v(x_t, t) - (x - noise)|^2.

    See Liu et al. (2023), equation 1, and Lipman et al. (2023), equation 23 with a
    smallest standard deviation of 0.

    Args:
      velocity: (x_t, time [batch]) -> the predicted velocities.
      x: [batch, height, width, channels] float32. Data.
      noise: Standard normal numbers of the same shape.
      time: [batch] float32.

    Returns:
      [] float32, the mean over the batch and all pixels.
    """
    t = time[:, None, None, None]
    error = velocity((1 - t) * noise + t * x, time) - (x - noise)
    return jnp.mean(error**2)


def make_loss(config, network: nn.Module):
    """Returns the loss, (params, (x, labels, noise, time), key) -> ([], {}), and draw.

    draw: (key, x, labels) -> (x, labels, noise, time); some labels are dropped.
    """

    def draw(key, x, labels):
        noise_key, time_key, label_key = jax.random.split(key, 3)
        dropped = jax.random.bernoulli(label_key, config.label_dropout, labels.shape)
        labels = jnp.where(dropped, network.num_classes, labels)
        noise = jax.random.normal(noise_key, x.shape)
        return x, labels, noise, times(time_key, len(x))

    def batch_loss(params, batch, key):
        x, labels, noise, time = batch

        def velocity(x, time):
            variables, rngs = {"params": params}, {"dropout": key}
            return network.apply(variables, x, time, labels, train=True, rngs=rngs)

        return loss(velocity, x, noise, time), {}

    return batch_loss, draw


def guided(conditional: jax.Array, without: jax.Array, scale: float) -> jax.Array:
    """Classifier-free guidance (Ho and Salimans 2022, equation 6).

    Args:
      conditional: Velocities with labels.
      without: Velocities without labels.
      scale: 0 ignores the labels, 1 follows them, larger values exaggerate them.
    """
    return without + scale * (conditional - without)


def solve(velocity: Velocity, noise: jax.Array, solver: str, steps: int) -> jax.Array:
    """Integrates dx / dt = velocity(x, t) from time 0 to time 1.

    Args:
      velocity: (x, time [batch]) -> velocities.
      noise: [batch, height, width, channels] float32. The start.
      solver: 'euler', or 'heun', which is of second order and evaluates the velocity
        twice per step.
      steps: The number of steps.

    Returns:
      [steps + 1, batch, height, width, channels] float32, the path from its start on.
    """
    dt = 1 / steps

    def step(x, number):
        def at(x, number):
            return velocity(x, jnp.full(len(x), number * dt))

        v = at(x, number)
        if solver == "heun":
            v = (v + at(x + dt * v, number + 1)) / 2
        x = x + dt * v
        return x, x

    _, path = lax.scan(step, noise, jnp.arange(steps))
    return jnp.concatenate([noise[None], path])
