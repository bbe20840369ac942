"""Networks of image classifiers, made by name.

Each sows its last hidden layer, [batch, width], as the intermediate 'features'.
"""

from collections.abc import Sequence

from flax import linen as nn
import jax

from dlx.models.layers import Conv, max_pool
from dlx.models.mlp import MLP
from dlx.models.receptive_field import ReceptiveField


class MLPClassifier(nn.Module):
    """A fully connected network with ReLU.

    Attributes:
      num_classes: The number of classes.
      features: Width of each hidden layer.
      dropout: Dropout rate of the last hidden layer.
    """

    num_classes: int
    features: Sequence[int]
    dropout: float

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """[batch, height, width, channels] float32 -> [batch, num_classes] float32."""
        x = MLP(self.features)(images)
        self.sow("intermediates", "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)


class CNNClassifier(nn.Module):
    """Blocks of 3x3 convolution, 2x2 pooling, batch normalisation and ReLU, then dense.

    Attributes:
      num_classes: The number of classes.
      channels: Channels of each convolution.
      features: Width of each dense layer.
      dropout: Dropout rate of the last hidden layer.
      axis_name: Name of the mapped axis over which batches are normalised together.
    """

    num_classes: int
    channels: Sequence[int]
    features: Sequence[int]
    dropout: float
    axis_name: str | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the blocks: 'block1', 'block2', ..."""
        return tuple(f"block{n}" for n, _ in enumerate(self.channels, 1))

    def receptive_fields(self) -> dict[str, ReceptiveField]:
        """Returns the receptive field of each block's features."""
        field, fields = ReceptiveField(), {}
        for name in self.layers:
            field = field.through(3, padding=1).through(2, stride=2)
            fields[name] = field
        return fields

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, wanted: Sequence[str] = ()
    ) -> jax.Array | dict[str, jax.Array]:
        """Computes logits, or the features of some blocks.

        Args:
          images: [batch, height, width, channels] float32. Features can be computed of
            images of any size.
          train: Whether to normalise by the batch's statistics and apply dropout.
          wanted: Names of the blocks whose features are returned.

        Returns:
          [batch, num_classes] float32, or {name: features} if blocks are wanted.
        """
        x, features = images, {}
        for name, channels in zip(self.layers, self.channels, strict=True):
            x = Conv(channels, (3, 3), use_bias=False)(x)
            x = max_pool(x)  # first, as the next two then process a quarter
            x = nn.BatchNorm(
                use_running_average=not train, momentum=0.9, axis_name=self.axis_name
            )(x)
            features[name] = x = nn.relu(x)
        if wanted:
            return {name: features[name] for name in wanted}
        x = MLP(self.features)(x)
        self.sow("intermediates", "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)


def make(
    name: str,
    *,
    num_classes: int,
    features: Sequence[int],
    channels: Sequence[int],
    dropout: float,
    axis_name: str | None = None,
) -> nn.Module:
    """Makes a classifier.

    Args:
      name: 'mlp', fully connected, or 'cnn', convolutional.
      num_classes: The number of classes.
      features: Widths of the dense layers before the last.
      channels: Channels of the convolutions of 'cnn'.
      dropout: Dropout rate, in [0, 1).
      axis_name: Name of the mapped axis over which batches are normalised together.

    Raises:
      ValueError: if the name is unknown or a width is not a positive integer.
    """
    widths = [*features, *channels]
    if not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(
            f"layers need positive integer widths, got features={tuple(features)} and "
            f"channels={tuple(channels)}"
        )
    if name == "mlp":
        return MLPClassifier(num_classes, tuple(features), dropout)
    if name == "cnn":
        return CNNClassifier(
            num_classes, tuple(channels), tuple(features), dropout, axis_name
        )
    raise ValueError(f"unknown network {name!r}; there are: mlp, cnn")


def first_filters(params, shape: Sequence[int]) -> jax.Array:
    """Returns the first layer's weights as [height, width, channels, filters]."""
    if "Conv_0" in params:
        return params["Conv_0"]["kernel"]
    kernel = params["MLP_0"]["Dense_0"]["kernel"]
    return kernel.reshape(*shape, kernel.shape[-1])
