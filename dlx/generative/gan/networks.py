"""Deep convolutional GANs (Radford, Metz and Chintala 2016), fast on the CPU too.

Sub-pixel upsampling replaces transposed convolutions. A sound (Donahue, McAuley and
Puckette 2019) or a line of text is an image of width 1; its layers have kernels and
factors of width 1.
"""

from collections.abc import Sequence
import itertools
import math
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx.models.layers import Conv, upsample


class Generator(nn.Module):
    """Maps latent vectors to images; each layer upsamples.

    Attributes:
      shape: Height, width and channels of an image.
      channels: Channels of each layer, from the smallest image on.
      kernel: Height and width of each convolution.
      factor: The factors by which each layer enlarges height and width.
      output: 'tanh', or 'softmax' over the channels. Gumbel noise is added to the
        logits of the softmax if there is a random stream 'gumbel' (Jang, Gu and Poole
        2017, eq. 2).
      temperature: Temperature of the softmax.
      num_classes: The number of classes of a conditional generator; 0 if it is
        unconditional.
      axis_name: Name of the mapped axis over which batches are normalised together.
      dtype: The dtype of the arithmetic. Parameters, statistics and images are float32.
    """

    shape: Sequence[int]
    channels: Sequence[int]
    kernel: Sequence[int] = (3, 3)
    factor: Sequence[int] = (2, 2)
    output: str = "tanh"
    temperature: float = 1.0
    num_classes: int = 0
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: jax.Array, labels: jax.Array, *, train: bool) -> jax.Array:
        """Generates images.

        Args:
          z: [batch, latents] float32.
          labels: [batch] integers. Ignored if the generator is unconditional.
          train: Whether to normalise by the batch's statistics, not by running ones.

        Returns:
          [batch, height, width, channels] float32, in [-1, 1] or probabilities.
        """
        small = _smallest(self.shape, self.factor, len(self.channels))
        if self.num_classes:
            embedded = nn.Embed(self.num_classes, z.shape[-1])(labels)
            z = jnp.concatenate([z, embedded], axis=-1)
        first = int(np.prod(small)) * self.channels[0]
        x = nn.Dense(first, use_bias=False, dtype=self.dtype)(z)
        x = x.reshape(len(x), *small, self.channels[0])
        for width in (*self.channels[1:], self.shape[-1]):
            x = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                dtype=self.dtype,
                axis_name=self.axis_name,
            )(x)
            wide = math.prod(self.factor) * width
            x = Conv(wide, self.kernel, dtype=self.dtype)(nn.relu(x))
            x = upsample(x, self.factor)
        x = x.astype(jnp.float32)
        if self.output == "tanh":
            return jnp.tanh(x)
        if self.has_rng("gumbel"):
            x += jax.random.gumbel(self.make_rng("gumbel"), x.shape)
        return jax.nn.softmax(x / self.temperature)


def _smallest(shape, factor, layers):
    """Height and width before the first of `layers` upsampling layers."""
    return [
        side // times**layers for side, times in zip(shape[:2], factor, strict=True)
    ]


class Discriminator(nn.Module):
    """Maps images to logits, which are high for images that look real.

    Attributes:
      channels: Channels of each strided convolution.
      kernel: Height and width of each convolution.
      factor: Strides of each convolution, along height and width.
      features: Widths of the dense layers between the convolutions and the logit.
      norm: 'batch' (after every convolution except the first), 'spectral' or 'none'.
      minibatch_std: Whether the standard deviation over the batch is an input of the
        last layers (Karras et al. 2018, section 3).
      num_classes: The number of classes of a conditional discriminator, whose logit is
        that of Miyato and Koyama (2018, eq. 3); 0 if it is unconditional.
      axis_name: Name of the mapped axis that shares out a batch. `norm` and
        `minibatch_std` take statistics of the whole batch.
      dtype: The dtype of the arithmetic. Parameters, statistics and logits are float32.
    """

    channels: Sequence[int]
    kernel: Sequence[int]
    factor: Sequence[int]
    features: Sequence[int]
    norm: str
    minibatch_std: bool
    num_classes: int = 0
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, labels: jax.Array, dropout: jax.Array
    ) -> jax.Array:
        """Computes logits, in training mode.

        Args:
          x: [batch, height, width, channels] float32.
          labels: [batch] integers. Ignored if the discriminator is unconditional.
          dropout: [] float32. Dropout rate of each convolution's outputs, if there is a
            random stream 'dropout'.

        Returns:
          [batch] float32.
        """

        def layer(module, x):
            if self.norm == "spectral":
                return nn.SpectralNorm(module)(x, update_stats=True)
            return module(x)

        for number, width in enumerate(self.channels):
            # Batch normalisation would remove a bias.
            normed = self.norm == "batch" and number > 0
            conv = Conv(
                width, self.kernel, self.factor, use_bias=not normed, dtype=self.dtype
            )
            x = layer(conv, x)
            if normed:
                norm = nn.BatchNorm(
                    use_running_average=False,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                )
                x = norm(x)
            x = nn.leaky_relu(x, 0.2)
            if self.has_rng("dropout"):
                mask = jax.random.bernoulli(
                    self.make_rng("dropout"), 1 - dropout, x.shape
                )
                x = jnp.where(mask, x / (1 - dropout), 0)
        x = x.astype(jnp.float32)
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
        """The mean over the global batch, which the devices share, [...]."""
        mean = jnp.mean(x, axis=0)
        if self.axis_name is None or self.is_initializing():
            return mean
        return lax.pmean(mean, self.axis_name)


class Discriminators(nn.Module):
    """Several discriminators, each with its own input and parameters.

    Neighbours with equal channels are computed together, by `vmap`. `channels` has an
    entry for each discriminator. Other attributes: see Discriminator.
    """

    channels: Sequence[Sequence[int]]
    kernel: Sequence[int]
    factor: Sequence[int]
    features: Sequence[int]
    norm: str
    minibatch_std: bool
    num_classes: int = 0
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, labels: jax.Array, dropout: jax.Array
    ) -> jax.Array:
        """x [discriminators, batch, height, width, c] -> [discriminators, batch]."""
        logits, first = [], 0
        for channels, group in itertools.groupby(self.channels):
            number = len(list(group))
            part = slice(first, first + number)
            discriminators = nn.vmap(
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
                self.dtype,
            )
            logits.append(discriminators(x[part], labels[part], dropout[part]))
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
    dtype: Any = jnp.float32,
) -> Generator:
    """Makes a generator. The arguments are attributes of Generator.

    Raises:
      ValueError: if a width is not a positive integer or the layers do not produce
        `shape`.
    """
    _require_widths([*channels, *kernel, *factor])
    small = _smallest(shape, factor, len(channels))
    large = [
        side * times ** len(channels) for side, times in zip(small, factor, strict=True)
    ]
    if not channels or large != list(shape[:2]) or not all(small):
        raise ValueError(
            f"{len(channels)} layers that each enlarge an image by factors of "
            f"{tuple(factor)} do not end at {shape[0]}x{shape[1]}"
        )
    rows = map(tuple, (shape, channels, kernel, factor))
    return Generator(*rows, output, temperature, num_classes, axis_name, dtype)


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
    dtype: Any = jnp.float32,
) -> Discriminators:
    """Makes discriminators. The arguments are attributes of Discriminators.

    Raises:
      ValueError: if a width is not a positive integer or `norm` is unknown.
    """
    for widths in (*channels, kernel, factor, *([features] if features else ())):
        _require_widths(widths)
    if norm not in ("batch", "spectral", "none"):
        raise ValueError(f"unknown norm {norm!r}; choose one of: batch, spectral, none")
    rows = map(tuple, (map(tuple, channels), kernel, factor, features))
    return Discriminators(*rows, norm, minibatch_std, num_classes, axis_name, dtype)


def _require_widths(widths):
    if not widths or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(f"layers need positive integer widths, got {tuple(widths)}")
