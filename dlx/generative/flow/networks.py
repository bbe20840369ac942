"""A small U-Net that predicts velocities (Ronneberger et al. 2015; Ho et al. 2020)."""

from collections.abc import Sequence
import math
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from dlx import fields
from dlx.errors import UserError
from dlx.models.layers import Conv, average_pool, upsample

FIELDS = {
    "widths": fields.row(fields.integer(), 1, 16),
    "blocks": fields.integer(1, 64),
    "patch": fields.integer(),
    "heads": fields.integer(0),
    "dropout": fields.real(0, below=1),
    "dtype": fields.choice("float32", "bfloat16"),
}
_FREQUENCIES = 32  # of the time's embedding
_GROUPS = 8  # of group normalisation


def time_features(time: jax.Array) -> jax.Array:
    """Cosines and sines of the time at many frequencies (Vaswani et al. 2017, 3.5).

    Args:
      time: [batch] float32 in [0, 1].

    Returns:
      [batch, 64] float32.
    """
    rates = 1000.0 ** (1 - jnp.arange(_FREQUENCIES) / _FREQUENCIES)
    angles = time[:, None] * rates[None]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class Block(nn.Module):
    """Two 3x3 convolutions; the embedding scales and shifts their normalised result.

    Attributes:
      width: The number of channels.
      dropout: Dropout rate before the second convolution.
      dtype: The dtype of the arithmetic; statistics are float32.
    """

    width: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array, *, train: bool) -> jax.Array:
        """[batch, h, w, c] and [batch, n] -> [batch, h, w, width]."""
        norm = _norm(self.dtype)
        y = Conv(self.width, (3, 3), dtype=self.dtype)(nn.silu(norm(x)))
        film = nn.Dense(2 * self.width, dtype=self.dtype)(embedding)[:, None, None]
        scale, shift = jnp.split(film, 2, axis=-1)
        y = nn.silu(_norm(self.dtype)(y) * (1 + scale) + shift)
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        zeros = nn.initializers.zeros  # a block begins as the identity
        y = Conv(self.width, (3, 3), dtype=self.dtype, kernel_init=zeros)(y)
        if x.shape[-1] != self.width:
            x = nn.Dense(self.width, dtype=self.dtype)(x)
        return x + y


def _norm(dtype):
    return nn.GroupNorm(_GROUPS, dtype=dtype)


class UNet(nn.Module):
    """Halves the image level by level and doubles it again, with skip connections.

    Attributes:
      channels: The number of channels of an image.
      widths: Channels of each level, the largest image first; multiples of 8.
      blocks: The number of blocks of each level, on the way down and on the way up.
      patch: Side of the patches, each of which the first layer turns into one pixel.
      heads: The number of attention heads at the smallest level; 0 for no attention.
      num_classes: The number of classes; 0 for a network without labels.
      dropout: Dropout rate of the blocks.
      dtype: The dtype of the arithmetic. Parameters and velocities are float32.
    """

    channels: int
    widths: Sequence[int]
    blocks: int = 1
    patch: int = 1
    heads: int = 4
    num_classes: int = 0
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, time: jax.Array, labels: jax.Array, *, train: bool
    ) -> jax.Array:
        """Predicts velocities.

        Args:
          x: [batch, height, width, channels] float32.
          time: [batch] float32 in [0, 1].
          labels: [batch] integers; `num_classes` stands for no label.
          train: Whether dropout is applied.

        Returns:
          [batch, height, width, channels] float32.
        """
        embedding = self._embed(time, labels)
        x = Conv(
            self.widths[0],
            (3, 3) if self.patch == 1 else (self.patch, self.patch),
            strides=self.patch,
            dtype=self.dtype,
        )(x)
        skips = []
        for level, width in enumerate(self.widths):
            x = average_pool(x) if level else x
            for _ in range(self.blocks):
                x = self._block(width, x, embedding, train)
                skips.append(x)
        x = self._middle(x, embedding, train)
        for level, width in reversed(list(enumerate(self.widths))):
            for _ in range(self.blocks):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = self._block(width, x, embedding, train)
            if level:
                x = x.repeat(2, axis=1).repeat(2, axis=2)
        x = nn.silu(_norm(self.dtype)(x)).astype(jnp.float32)
        zeros = nn.initializers.zeros
        x = Conv(self.patch**2 * self.channels, (3, 3), kernel_init=zeros)(x)
        return upsample(x, (self.patch, self.patch))

    def _block(self, width, x, embedding, train):
        return Block(width, self.dropout, self.dtype)(x, embedding, train=train)

    def _embed(self, time, labels):
        """Time and label, [batch, 4 x the first width]."""
        width = 4 * self.widths[0]
        embedding = nn.Dense(width, dtype=self.dtype)(time_features(time))
        if self.num_classes:
            label = nn.Embed(self.num_classes + 1, width, dtype=self.dtype)(labels)
            embedding += label
        embedding = nn.Dense(width, dtype=self.dtype)(nn.silu(embedding))
        return nn.silu(embedding)

    def _middle(self, x, embedding, train):
        """Attention over all pixels of the smallest level, and a block."""
        if self.heads:
            shape = x.shape
            y = _norm(self.dtype)(x).reshape(shape[0], -1, shape[-1])
            y = nn.MultiHeadDotProductAttention(
                self.heads,
                dtype=self.dtype,
                force_fp32_for_softmax=True,
                out_kernel_init=nn.initializers.zeros,
            )(y)
            x = x + y.reshape(shape)
        return self._block(self.widths[-1], x, embedding, train)


def make(config, modality) -> UNet:
    """Makes the network of a config for the examples of a modality.

    Raises:
      UserError: if widths or heads are invalid, or the levels do not divide an example.
    """
    least = config.patch * 2 ** (len(config.widths) - 1)
    height, width, channels = modality.shape
    if height % least or width % least:
        raise UserError(
            f"config.widths={tuple(config.widths)} with config.patch={config.patch} "
            f"needs images whose sides are multiples of {least}, got {height}x{width}"
        )
    multiple = math.lcm(_GROUPS, max(1, config.heads))
    if any(n % _GROUPS for n in config.widths) or config.widths[-1] % multiple:
        raise UserError(
            f"config.widths={tuple(config.widths)} must be multiples of {_GROUPS}, the "
            f"last one also of config.heads={config.heads}"
        )
    return UNet(
        channels,
        widths=tuple(config.widths),
        blocks=config.blocks,
        patch=config.patch,
        heads=config.heads,
        num_classes=modality.num_classes if config.conditional else 0,
        dropout=config.dropout,
        dtype=jnp.dtype(config.dtype),
    )


def init(network: UNet, key: jax.Array, shape: Sequence[int]):
    """Draws parameters for images of a shape [height, width, channels]."""
    x, none = jnp.zeros((1, *shape)), jnp.zeros(1, jnp.int32)
    return network.init(key, x, jnp.zeros(1), none, train=False)["params"]
