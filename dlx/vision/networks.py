"""Networks of image classifiers, by name or import path.

Each sows its last hidden layer, [batch, width], as the intermediate 'features'.
"""

from collections.abc import Callable, Sequence
import functools
import inspect
import math
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlx import choices, fields
from dlx.errors import UserError, user_error_in
from dlx.models.layers import Conv, max_pool
from dlx.models.mlp import MLP
from dlx.models.receptive_field import ReceptiveField
from dlx.vision import airbench_network
from dlx.vision.patches import ConvMixer, ViT
from dlx.vision.resnet import ResNet


class MLPClassifier(nn.Module):
    """A fully connected network with ReLU.

    Attributes:
      num_classes: The number of classes.
      features: Width of each hidden layer.
      dropout: Dropout rate of the last hidden layer.
      dtype: The dtype of the arithmetic. Parameters and logits are float32.
    """

    num_classes: int
    features: Sequence[int] = (128,)
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """[batch, height, width, channels] float32 -> [batch, num_classes] float32."""
        x = MLP(self.features, self.dtype)(images).astype(jnp.float32)
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
      dtype: The dtype of the arithmetic. Parameters, statistics and logits are float32.
      axis_name: Name of the mapped axis over which batches are normalised together.
    """

    num_classes: int
    channels: Sequence[int] = (16, 32)
    features: Sequence[int] = (128,)
    dropout: float = 0.0
    dtype: Any = jnp.float32
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
            x = Conv(channels, (3, 3), use_bias=False, dtype=self.dtype)(x)
            x = max_pool(x)  # first: the next two layers process a quarter
            x = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                dtype=self.dtype,
                axis_name=self.axis_name,
            )(x)
            features[name] = x = nn.relu(x)
        if wanted:
            return {name: features[name] for name in wanted}
        x = MLP(self.features, self.dtype)(x).astype(jnp.float32)
        self.sow("intermediates", "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)


NETWORKS = {
    "mlp": MLPClassifier,
    "cnn": CNNClassifier,
    "airbench": airbench_network.whitened,
    "resnet18": functools.partial(
        ResNet, widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2), projection=True
    ),
    "resnet20": functools.partial(
        ResNet, widths=(16, 32, 64), blocks=(3, 3, 3), projection=False
    ),
    "vit": ViT,
    "convmixer": ConvMixer,
}
_GIVEN = {"num_classes", "examples", "dtype", "axis_name", "parent", "name"}
_MOST = 4096  # layers, or channels of one
_SETTINGS = {
    int: fields.integer(1, _MOST),
    bool: fields.flag(),
    float: fields.real(0, below=1),  # rates of dropout
    tuple: fields.row(fields.integer(1, _MOST)),
}


def settings(name: str) -> dict[str, Any]:
    """Returns the settings of one of NETWORKS, and their default values."""
    parameters = inspect.signature(NETWORKS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in _GIVEN}


def make(
    choice: Any,
    *,
    num_classes: int,
    examples: Callable[[], np.ndarray],
    dtype: Any = jnp.float32,
    axis_name: str | None = None,
    **defaults: Any,
) -> nn.Module:
    """Makes a classifier.

    Args:
      choice: One of NETWORKS, or the import path of a Flax module like them; or a
        ConfigDict of `name` and settings, which are attributes of the module.
      num_classes: The number of classes.
      examples: Returns [examples, height, width, channels] float32, scaled training
        images, from which 'airbench' computes its first layer.
      dtype: The dtype of the arithmetic.
      axis_name: Name of the mapped axis over which batches are normalised together.
      defaults: Settings that hold if the choice does not set them.

    Raises:
      UserError: if there is no such network or setting, or a value is invalid.
    """
    name, given = choices.read(choice)
    if name not in NETWORKS and "." not in name:
        raise UserError(
            f"config.network is {name!r}; choose one of: {', '.join(NETWORKS)}, or an "
            "import path of a Flax module"
        )
    network = NETWORKS.get(name) or choices.imported(name)
    known_settings = {
        key: value for known in NETWORKS for key, value in settings(known).items()
    }
    own = choices.settings_of(network)
    arguments = choices.known(
        "config.network", name, defaults | given, own - _GIVEN, others=known_settings
    )
    if name in NETWORKS:
        kinds = {
            key: _SETTINGS[type(default)] for key, default in known_settings.items()
        }
        fields.check(arguments, kinds, "config.network")
    available = {"dtype": dtype, "axis_name": axis_name, "examples": examples}
    arguments |= {key: value for key, value in available.items() if key in own}
    with user_error_in(f"config.network: {name}"):
        return network(num_classes=num_classes, **arguments)


def first_filters(params, shape: Sequence[int]) -> jax.Array | None:
    """Finds the weights of the layer that sees the images.

    Args:
      params: A network's parameters.
      shape: Height, width and channels of an image.

    Returns:
      [height, width, channels, filters], or None if the network has no such layer.
    """
    kernels = jax.tree.leaves(params)
    for kernel in kernels:
        if kernel.ndim == 4 and kernel.shape[2] == shape[-1] and kernel.shape[0] > 1:
            return kernel
    for kernel in kernels:
        if kernel.ndim == 2 and len(kernel) == math.prod(shape):
            return kernel.reshape(*shape, -1)
    return None
