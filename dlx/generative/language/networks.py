"""A recurrent network that reads and writes lines of text character by character."""

from collections.abc import Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

_scanned = functools.partial(
    nn.scan,
    variable_broadcast="params",
    split_rngs={"params": False},
    in_axes=1,
    out_axes=1,
)


class Cell(nn.Module):
    """One step of stacked LSTMs (Hochreiter and Schmidhuber 1997).

    Attributes:
      widths: The number of units of each layer.
      characters: The number of characters.
    """

    widths: Sequence[int]
    characters: int

    @nn.compact
    def __call__(self, states: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        """Reads characters, [batch, characters]; returns logits of the next ones."""
        after = []
        for width, state in zip(self.widths, states, strict=True):
            state, x = nn.OptimizedLSTMCell(width)(state, x)
            after.append(state)
        return tuple(after), nn.Dense(self.characters)(x)


class Recurrent(nn.Module):
    """Predicts each character from those before it, and writes lines.

    As a GAN's generator it is called with latent vectors, which determine the line:
    they are the Gumbel noise that draws each character (Maddison, Tarlow and Minka
    2014), at quantiles of a normal distribution.

    Attributes:
      shape: Length of a line, 1, and the number of characters.
      widths: The number of units of each layer.
      temperature: Temperature of the softmax whose gradients the characters have.
    """

    shape: Sequence[int]
    widths: Sequence[int]
    temperature: float = 1.0

    def setup(self):
        self.cell = Cell(self.widths, self.shape[-1])

    def logits(self, lines: jax.Array) -> jax.Array:
        """Logits of each character given those before it in its line.

        Args:
          lines: [batch, length, 1, characters] float32.

        Returns:
          [batch, length, characters] float32.
        """
        # A line begins after a character of zeros.
        before = jnp.pad(lines[:, :-1, 0], ((0, 0), (1, 0), (0, 0)))
        read = _scanned(lambda cell, states, x: cell(states, x))
        return read(self.cell, self._states(len(lines)), before)[1]

    def __call__(self, z: jax.Array, labels: jax.Array, *, train: bool) -> jax.Array:
        """Writes lines, each character given those that were drawn before it.

        Args:
          z: [batch, length * characters] float32, normally distributed.
          labels: [batch] integers; they are ignored.
          train: Makes no difference.

        Returns:
          [batch, length, 1, characters] float32. One-hot characters, whose gradients
          are those of the Gumbel-softmax (Jang, Gu and Poole 2017, section 2.2).
        """
        del labels, train
        noise = -jnp.log(-jax.scipy.special.log_ndtr(z))

        def write(cell, carry, noise):
            states, x = carry
            states, logits = cell(states, x)
            soft = jax.nn.softmax((logits + noise) / self.temperature)
            hard = jax.nn.one_hot(jnp.argmax(logits + noise, axis=-1), soft.shape[-1])
            x = hard + (soft - lax.stop_gradient(soft))
            return (states, x), x

        length, _, characters = self.shape
        noise = noise.reshape(-1, length, characters)
        first = self._states(len(noise)), jnp.zeros_like(noise[:, 0])
        return _scanned(write)(self.cell, first, noise)[1][:, :, None]

    def _states(self, batch):
        return tuple(
            (jnp.zeros((batch, w)), jnp.zeros((batch, w))) for w in self.widths
        )
