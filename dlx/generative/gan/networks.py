"""Deep convolutional GANs (Radford, Metz and Chintala 2016), fast on the CPU too.

Sub-pixel upsampling stands for their transposed convolutions. A sound (Donahue, McAuley
and Puckette 2019) or a line of text is an image 1 wide, whose layers have kernels and
factors 1 wide.
"""

from collections.abc import Sequence
import itertools
import math

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx.models.layers import Conv, upsample


class Generator(nn.Module):
    """From latents to images; each layer makes the image larger.

    Attributes:
      shape: Of an image: height, width, channels.
      channels: Of each layer, from the smallest image on.
      kernel: Height and width of each convolution.
      factor: How many times higher and wider each layer makes the image.
      output: 'tanh'; or 'softmax' over the channels of logits with Gumbel's noise, if
        there are random numbers of the name 'gumbel' (Jang, Gu and Poole 2017, eq. 2).
      temperature: Of that.
      num_classes: That may be asked for; 0 for none.
      axis_name: Of the mapped axis over which batches are normalised together.
    """

    shape: Sequence[int]
    channels: Sequence[int]
    kernel: Sequence[int] = (3, 3)
    factor: Sequence[int] = (2, 2)
    output: str = "tanh"
    temperature: float = 1.0
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
          [batch, height, width, channels] float32, in [-1, 1] or probabilities.
        """
        small = _smallest(self.shape, self.factor, len(self.channels))
        if self.num_classes:
            embedded = nn.Embed(self.num_classes, z.shape[-1])(labels)
            z = jnp.concatenate([z, embedded], axis=-1)
        x = nn.Dense(int(np.prod(small)) * self.channels[0], use_bias=False)(z)
        x = x.reshape(len(x), *small, self.channels[0])
        for width in (*self.channels[1:], self.shape[-1]):
            x = nn.BatchNorm(
                use_running_average=not train, momentum=0.9, axis_name=self.axis_name
            )(x)
            x = Conv(math.prod(self.factor) * width, self.kernel)(nn.relu(x))
            x = upsample(x, self.factor)
        if self.output == "tanh":
            return jnp.tanh(x)
        if self.has_rng("gumbel"):
            x += jax.random.gumbel(self.make_rng("gumbel"), x.shape)
        return jax.nn.softmax(x / self.temperature)


def _smallest(shape, factor, layers):
    """Height and width of what so many layers make an image of that shape from."""
    return [
        side // times**layers for side, times in zip(shape[:2], factor, strict=True)
    ]


class Discriminator(nn.Module):
    """From images to a logit, which is high for what looks real.

    Attributes:
      channels: Of each convolution, which makes the image smaller.
      kernel: Height and width of each.
      factor: How many times lower and narrower each makes the image.
      features: Widths of dense layers between those and the logit.
      norm: 'batch' (of all convolutions but the first), 'spectral' or 'none'.
      minibatch_std: Whether the last layer sees how much a batch's images differ
        (Karras et al. 2018, section 3).
      num_classes: That an image may be asked to be of; 0 for none. The logit is then
        that of Miyato and Koyama (2018, eq. 3).
      axis_name: Of the mapped axis whose parts of a batch are one, for `norm` and
        `minibatch_std`.
    """

    channels: Sequence[int]
    kernel: Sequence[int]
    factor: Sequence[int]
    features: Sequence[int]
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
            conv = Conv(width, self.kernel, self.factor, use_bias=not normed)
            x = layer(conv, x)
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
            variance = self._over_devices((x - self._over_devices(x)[None]) ** 2)
            deviation = jnp.mean(jnp.sqrt(variance + 1e-8))
            x = jnp.concatenate([x, jnp.full_like(x[..., :1], deviation)], axis=-1)
        x = x.reshape(len(x), -1)
        for width in self.features:
            x = nn.leaky_relu(layer(nn.Dense(width), x), 0.2)
        logits = layer(nn.Dense(1), x)[:, 0]
        if self.num_classes:
            embed = nn.Embed(self.num_classes, x.shape[-1])
            logits += jnp.sum(layer(embed, labels) * x, axis=-1)
        return logits

    def _over_devices(self, x):
        """The mean over the batch, [...], of which each device has a part."""
        mean = jnp.mean(x, axis=0)
        if self.axis_name is None or self.is_initializing():
            return mean
        return lax.pmean(mean, self.axis_name)


class Discriminators(nn.Module):
    """Several, each with an input of its own; those that are alike as one.

    Attributes:
      channels: Of each discriminator.
      kernel: Of all, like the rest.
      factor: As of one.
      features: As of one.
      norm: As of one.
      minibatch_std: As of one.
      num_classes: As of one.
      axis_name: As of one.
    """

    channels: Sequence[Sequence[int]]
    kernel: Sequence[int]
    factor: Sequence[int]
    features: Sequence[int]
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
                self.factor,
                self.features,
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
    kernel: Sequence[int] = (3, 3),
    factor: Sequence[int] = (2, 2),
    output: str = "tanh",
    temperature: float = 1.0,
    num_classes: int = 0,
    axis_name: str | None = None,
) -> Generator:
    """Makes a generator; arguments as its attributes.

    Raises:
      ValueError: for widths that are none, or an image that cannot be made of layers.
    """
    _require_widths([*channels, *kernel, *factor])
    small = _smallest(shape, factor, len(channels))
    made = [
        side * times ** len(channels) for side, times in zip(small, factor, strict=True)
    ]
    if not channels or made != list(shape[:2]) or not all(small):
        raise ValueError(
            f"{len(channels)} layers that each make an image {tuple(factor)} times as "
            f"large do not end at {shape[0]}x{shape[1]}"
        )
    return Generator(
        tuple(shape),
        tuple(channels),
        tuple(kernel),
        tuple(factor),
        output,
        temperature,
        num_classes,
        axis_name,
    )


def make_discriminators(
    *,
    channels: Sequence[Sequence[int]],
    kernel: Sequence[int],
    norm: str,
    factor: Sequence[int] = (2, 2),
    features: Sequence[int] = (),
    minibatch_std: bool = False,
    num_classes: int = 0,
    axis_name: str | None = None,
) -> Discriminators:
    """Makes discriminators; arguments as their attributes.

    Raises:
      ValueError: for widths that are none, or another norm.
    """
    for widths in (*channels, kernel, factor, *([features] if features else ())):
        _require_widths(widths)
    if norm not in ("batch", "spectral", "none"):
        raise ValueError(f"there is no norm {norm!r}; there are: batch, spectral, none")
    return Discriminators(
        tuple(tuple(widths) for widths in channels),
        tuple(kernel),
        tuple(factor),
        tuple(features),
        norm,
        minibatch_std,
        num_classes,
        axis_name,
    )


def _require_widths(widths):
    if not widths or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(f"layers need positive integer widths, got {tuple(widths)}")
