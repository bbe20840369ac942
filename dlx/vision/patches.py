"""Networks of image patches: Vision Transformer and ConvMixer."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from dlx.errors import UserError
from dlx.models.layers import Conv
from dlx.vision.resnet import batch_norm


def embed(module: nn.Module, images: jax.Array) -> jax.Array:
    """Maps each patch linearly to `module.width` numbers, as part of the module.

    Args:
      module: Has width, patch (the side of a patch in pixels) and dtype.
      images: [batch, height, width, channels] float32.

    Returns:
      [batch, height / patch, width / patch, module.width].

    Raises:
      UserError: if patches do not tile the images.
    """
    height, width = images.shape[1:3]
    if height % module.patch or width % module.patch:
        raise UserError(
            f"config.network: patches of {module.patch}x{module.patch} do not tile "
            f"{height}x{width} images; use another patch"
        )
    side = (module.patch, module.patch)
    return Conv(module.width, side, strides=side, padding="VALID", dtype=module.dtype)(
        images
    )


class Encoder(nn.Module):
    """A Transformer block, normalised before each of its two parts (eq. 2 and 3).

    Attributes:
      heads: The number of attention heads.
      dropout: Dropout rate of both parts.
      dtype: The dtype of the arithmetic; normalisation is in float32.
    """

    heads: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[batch, tokens, width] -> the same shape."""
        width = x.shape[-1]
        y = nn.LayerNorm()(x).astype(self.dtype)
        y = nn.MultiHeadDotProductAttention(
            self.heads, dtype=self.dtype, force_fp32_for_softmax=True
        )(y)
        x = x + nn.Dropout(self.dropout, deterministic=not train)(y)
        y = nn.LayerNorm()(x).astype(self.dtype)
        y = nn.gelu(nn.Dense(4 * width, dtype=self.dtype)(y))
        y = nn.Dense(width, dtype=self.dtype)(y)
        return x + nn.Dropout(self.dropout, deterministic=not train)(y)


class ViT(nn.Module):
    """Vision Transformer (Dosovitskiy et al. 2021, equations 1 to 4).

    Attributes:
      num_classes: The number of classes.
      patch: Side of a patch in pixels.
      width: The number of channels of each token.
      depth: The number of blocks.
      heads: The number of attention heads of a block.
      dropout: Dropout rate of embeddings and blocks.
      dtype: The dtype of the arithmetic. Parameters and logits are float32.
    """

    num_classes: int
    patch: int = 4
    width: int = 192
    depth: int = 6
    heads: int = 3
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """[batch, height, width, channels] float32 -> [batch, num_classes] float32."""
        if self.width % self.heads:
            raise UserError(
                f"config.network: {self.heads} heads do not divide a width of "
                f"{self.width}"
            )
        x = embed(self, images)
        x = x.reshape(len(x), -1, self.width)
        token = self.param("class_token", nn.initializers.zeros, (1, 1, self.width))
        token = jnp.broadcast_to(token.astype(x.dtype), (len(x), 1, self.width))
        x = jnp.concatenate([token, x], axis=1)
        positions = nn.initializers.normal(0.02)
        x += self.param("positions", positions, (1, *x.shape[1:])).astype(x.dtype)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        for _ in range(self.depth):
            x = Encoder(self.heads, self.dropout, self.dtype)(x, train=train)
        x = nn.LayerNorm()(x[:, 0].astype(jnp.float32))
        self.sow("intermediates", "features", x)
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.zeros)(x)


class ConvMixer(nn.Module):
    """Mixes patches with depthwise convolutions (Trockman and Kolter 2022, section 2).

    Attributes:
      num_classes: The number of classes.
      patch: Side of a patch in pixels.
      width: The number of channels.
      depth: The number of blocks.
      kernel: Side of the depthwise convolutions.
      dtype: The dtype of the arithmetic. Parameters, statistics and logits are float32.
      axis_name: Name of the mapped axis over which batches are normalised together.
    """

    num_classes: int
    patch: int = 2
    width: int = 128
    depth: int = 6
    kernel: int = 5
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """[batch, height, width, channels] float32 -> [batch, num_classes] float32."""

        def activate(x):
            return batch_norm(self, train)(nn.gelu(x))

        x = activate(embed(self, images))
        for _ in range(self.depth):
            side = (self.kernel, self.kernel)
            depthwise = Conv(
                self.width, side, feature_group_count=self.width, dtype=self.dtype
            )
            x = x + activate(depthwise(x))
            x = activate(nn.Dense(self.width, dtype=self.dtype)(x))
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        self.sow("intermediates", "features", x)
        return nn.Dense(self.num_classes)(x)
