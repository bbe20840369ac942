"""Deep convolutional GANs (Radford, Metz and Chintala 2016), fast on the CPU too.

Sub-pixel upsampling stands for their transposed convolutions.
"""

from collections.abc import Sequence
import itertools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlx.models.layers import Conv, upsample


class Generator(nn.Module):
    """From latents to images; each layer doubles the image.

    Attributes:
      shape: Of an image: height, width, channels.
      channels: Of each layer, from the smallest image on.
      num_classes: That may be asked for; 0 for none.
      axis_name: Of the mapped axis over which batches are normalised together.
    """

    shape: Sequence[int]
    channels: Sequence[int]
    num_classes: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(self, z: jax.Array, labels: jax.Array, *, train: bool) -> jax.Array:
        """Makes images.

        Args:
          z: [batch, latents] float32.
          labels: [batch] integers; looked at only where there are classes.
          train: Whether to normalise over the batch, not over what was seen so far.

        Returns:
          [batch, height, width, channels] float32 in [-1, 1].
        """
        small = [side >> len(self.channels) for side in self.shape[:2]]
        if self.num_classes:
            embedded = nn.Embed(self.num_classes, z.shape[-1])(labels)
            z = jnp.concatenate([z, embedded], axis=-1)
        x = nn.Dense(int(np.prod(small)) * self.channels[0], use_bias=False)(z)
        x = x.reshape(len(x), *small, self.channels[0])
        for width in (*self.channels[1:], self.shape[-1]):
            x = nn.BatchNorm(
                use_running_average=not train, momentum=0.9, axis_name=self.axis_name
            )(x)
            x = upsample(Conv(4 * width, (3, 3))(nn.relu(x)))
        return jnp.tanh(x)


class Discriminator(nn.Module):
    """From images to a logit, which is high for what looks real.

    Attributes:
      channels: Of each convolution, which halves the image.
      kernel: Height and width of each.
      norm: 'batch' (of all layers but the first), 'spectral' or 'none'.
      minibatch_std: Whether the last layer sees how much a batch's images differ
        (Karras et al. 2018, section 3).
      num_classes: That an image may be asked to be of; 0 for none. The logit is then
        that of Miyato and Koyama (2018, eq. 3).
      axis_name: Of the mapped axis over which batches are normalised together.
    """

    channels: Sequence[int]
    kernel: int
    norm: str
    minibatch_std: bool
    num_classes: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, labels: jax.Array, dropout: jax.Array
    ) -> jax.Array:
        """Judges images, as in training.

        Args:
          x: [batch, height, width, channels] float32.
          labels: [batch] integers; looked at only where there are classes.
          dropout: [] float32, share of each layer's outputs that is left out, where
            there are random numbers of that name.

        Returns:
          [batch] float32.
        """

        def layer(module, x):
            if self.norm == "spectral":
                return nn.SpectralNorm(module)(x, update_stats=True)
            return module(x)

        for number, width in enumerate(self.channels):
            # A bias before batch normalisation would be taken out again.
            normed = self.norm == "batch" and number > 0
            size = self.kernel, self.kernel
            x = layer(Conv(width, size, strides=2, use_bias=not normed), x)
            if normed:
                norm = nn.BatchNorm(use_running_average=False, axis_name=self.axis_name)
                x = norm(x)
            x = nn.leaky_relu(x, 0.2)
            if self.has_rng("dropout"):
                kept = jax.random.bernoulli(
                    self.make_rng("dropout"), 1 - dropout, x.shape
                )
                x = jnp.where(kept, x / (1 - dropout), 0)
        if self.minibatch_std:
            deviation = jnp.mean(jnp.sqrt(jnp.var(x, axis=0) + 1e-8))
            x = jnp.concatenate([x, jnp.full_like(x[..., :1], deviation)], axis=-1)
        x = x.reshape(len(x), -1)
        logits = layer(nn.Dense(1), x)[:, 0]
        if self.num_classes:
            embed = nn.Embed(self.num_classes, x.shape[-1])
            logits += jnp.sum(layer(embed, labels) * x, axis=-1)
        return logits


class Discriminators(nn.Module):
    """Several, each with an input of its own; those that are alike as one.

    Attributes:
      channels: Of each discriminator.
      kernel: Of all, like the rest.
      norm: As of one.
      minibatch_std: As of one.
      num_classes: As of one.
      axis_name: As of one.
    """

    channels: Sequence[Sequence[int]]
    kernel: int
    norm: str
    minibatch_std: bool
    num_classes: int = 0
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, labels: jax.Array, dropout: jax.Array
    ) -> jax.Array:
        """x [discriminators, batch, height, width, c] -> [discriminators, batch]."""
        logits, first = [], 0
        for channels, alike in itertools.groupby(self.channels):
            number = len(list(alike))
            some = slice(first, first + number)
            several = nn.vmap(
                Discriminator,
                variable_axes={"params": 0, "batch_stats": 0},
                split_rngs={"params": True, "dropout": True},
            )(
                channels,
                self.kernel,
                self.norm,
                self.minibatch_std,
                self.num_classes,
                self.axis_name,
            )
            logits.append(several(x[some], labels[some], dropout[some]))
            first += number
        return jnp.concatenate(logits)


def make_generator(
    shape: Sequence[int],
    *,
    channels: Sequence[int],
    num_classes: int = 0,
    axis_name: str | None = None,
) -> Generator:
    """Makes a generator.

    Args:
      shape: Of an image: height, width, channels.
      channels: Of each layer, from the smallest image on.
      num_classes: That may be asked for; 0 for none.
      axis_name: Of the mapped axis over which batches are normalised together.

    Raises:
      ValueError: for widths that are none, or an image that does not halve so often.
    """
    _require_widths(channels)
    if any(side % 2 ** len(channels) for side in shape[:2]):
        raise ValueError(f"{shape[0]}x{shape[1]} does not halve {len(channels)} times")
    return Generator(tuple(shape), tuple(channels), num_classes, axis_name)


def make_discriminators(
    *,
    channels: Sequence[Sequence[int]],
    kernel: int,
    norm: str,
    minibatch_std: bool,
    num_classes: int = 0,
    axis_name: str | None = None,
) -> Discriminators:
    """Makes discriminators.

    Args:
      channels: Of each convolution of each discriminator.
      kernel: Height and width of each.
      norm: 'batch', 'spectral' or 'none'.
      minibatch_std: As in `Discriminator`.
      num_classes: As there.
      axis_name: As there.

    Raises:
      ValueError: for widths that are none, or another norm.
    """
    for widths in channels:
        _require_widths(widths)
    _require_widths([kernel])
    if norm not in ("batch", "spectral", "none"):
        raise ValueError(f"there is no norm {norm!r}; there are: batch, spectral, none")
    channels = tuple(tuple(widths) for widths in channels)
    return Discriminators(channels, kernel, norm, minibatch_std, num_classes, axis_name)


def _require_widths(widths):
    if not widths or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(f"layers need positive integer widths, got {tuple(widths)}")
