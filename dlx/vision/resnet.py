"""Residual networks for small images (He et al. 2016)."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from dlx.errors import UserError
from dlx.models.layers import Conv
from dlx.models.receptive_field import ReceptiveField

_PADDING = ((1, 1), (1, 1))


class Block(nn.Module):
    """Two 3x3 convolutions; the input is added to their result (figure 2).

    Attributes:
      width: The number of channels.
      stride: The stride of the first convolution.
      projection: Whether inputs of another shape are projected (option B of section
        3.3), not subsampled and padded with zeros (option A).
      dtype: The dtype of the arithmetic.
      axis_name: Name of the mapped axis over which batches are normalised together.
    """

    width: int
    stride: int
    projection: bool
    dtype: Any
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        def conv(x, kernel, stride, padding):
            x = Conv(
                self.width,
                kernel,
                strides=stride,
                padding=padding,
                use_bias=False,
                dtype=self.dtype,
                kernel_init=nn.initializers.he_normal(),
            )(x)
            return batch_norm(self, train)(x)

        y = nn.relu(conv(x, (3, 3), self.stride, _PADDING))
        y = conv(y, (3, 3), 1, _PADDING)
        if x.shape != y.shape and self.projection:
            x = conv(x, (1, 1), self.stride, "VALID")
        elif x.shape != y.shape:
            x = x[:, :: self.stride, :: self.stride]
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.width - x.shape[-1])))
        return nn.relu(x + y)


def batch_norm(module: nn.Module, train: bool) -> nn.BatchNorm:
    """Batch normalisation with the module's dtype; statistics are float32."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        dtype=module.dtype,
        axis_name=module.axis_name,
    )


class ResNet(nn.Module):
    """A 3x3 convolution, stages of blocks, the mean over all pixels, a dense layer.

    Attributes:
      num_classes: The number of classes.
      widths: Channels of each stage. Stages after the first halve the image.
      blocks: The number of blocks of each stage.
      projection: Whether shortcuts between stages are projections.
      dtype: The dtype of the arithmetic. Parameters, statistics and logits are float32.
      axis_name: Name of the mapped axis over which batches are normalised together.
    """

    num_classes: int
    widths: Sequence[int]
    blocks: Sequence[int]
    projection: bool
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers: 'stem', 'stage1', 'stage2', ..."""
        return ("stem", *(f"stage{n}" for n, _ in enumerate(self.widths, 1)))

    def receptive_fields(self) -> dict[str, ReceptiveField]:
        """Returns the receptive field of each layer's features."""
        field = ReceptiveField().through(3, padding=1)
        fields = {"stem": field}
        for stage, (name, blocks) in enumerate(
            zip(self.layers[1:], self.blocks, strict=True)
        ):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                field = field.through(3, stride, padding=1).through(3, padding=1)
            fields[name] = field
        return fields

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, wanted: Sequence[str] = ()
    ) -> jax.Array | dict[str, jax.Array]:
        """Computes logits, or the features of some layers.

        Args:
          images: [batch, height, width, channels] float32. Features can be computed of
            images of any size.
          train: Whether to normalise by the batch's statistics, not by running ones.
          wanted: Names of the layers whose features are returned.

        Returns:
          [batch, num_classes] float32, or {name: features} if layers are wanted.
        """
        if len(self.widths) != len(self.blocks):
            raise UserError(
                f"config.network: widths={tuple(self.widths)} and blocks="
                f"{tuple(self.blocks)} need an entry for each stage"
            )
        x = Conv(
            self.widths[0],
            (3, 3),
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.he_normal(),
        )(images)
        x = nn.relu(batch_norm(self, train)(x))
        features = {"stem": x}
        for stage, (width, blocks) in enumerate(
            zip(self.widths, self.blocks, strict=True)
        ):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                x = Block(width, stride, self.projection, self.dtype, self.axis_name)(
                    x, train=train
                )
            features[f"stage{stage + 1}"] = x
        if wanted:
            return {name: features[name] for name in wanted}
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        self.sow("intermediates", "features", x)
        return nn.Dense(self.num_classes)(x)
