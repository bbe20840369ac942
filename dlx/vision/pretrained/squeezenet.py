"""SqueezeNet 1.0 and 1.1 (Iandola et al. 2016) as feature extractors.

Modules have torchvision's names, which lets torchvision's weights be loaded.
"""

from collections.abc import Sequence

from flax import linen as nn
import jax
import jax.numpy as jnp

from dlx.models.layers import Conv, max_pool_3x3
from dlx.models.receptive_field import ReceptiveField

# In order: a convolution (index, width, kernel), a pool (index,) or a fire module
# (index, squeeze channels, channels of each expansion). The index is the position in
# torchvision's `features`, which counts ReLUs.
_FEATURES = {
    "1.0": {
        "conv1": (0, 96, 7), "pool1": (2,), "fire2": (3, 16, 64), "fire3": (4, 16, 64),
        "fire4": (5, 32, 128), "pool4": (6,), "fire5": (7, 32, 128),
        "fire6": (8, 48, 192), "fire7": (9, 48, 192), "fire8": (10, 64, 256),
        "pool8": (11,), "fire9": (12, 64, 256),
    },
    "1.1": {
        "conv1": (0, 64, 3), "pool1": (2,), "fire2": (3, 16, 64), "fire3": (4, 16, 64),
        "pool3": (5,), "fire4": (6, 32, 128), "fire5": (7, 32, 128), "pool5": (8,),
        "fire6": (9, 48, 192), "fire7": (10, 48, 192), "fire8": (11, 64, 256),
        "fire9": (12, 64, 256),
    },
}  # fmt: skip
VERSIONS = tuple(_FEATURES)


class Fire(nn.Module):
    """Fire module: a 1x1 squeeze, then parallel 1x1 and 3x3 expansions.

    Attributes:
      squeezed: The squeeze's channels.
      expanded: The channels of each expansion.
    """

    squeezed: int
    expanded: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[batch, height, width, channels] -> [batch, height, width, 2 expanded]."""
        x = nn.relu(Conv(self.squeezed, (1, 1), name="squeeze")(x))
        small = Conv(self.expanded, (1, 1), name="expand1x1")(x)
        large = Conv(self.expanded, (3, 3), name="expand3x3")(x)
        return nn.relu(jnp.concatenate([small, large], axis=-1))


class SqueezeNet(nn.Module):
    """Features of every layer after its ReLU, and the logits of ImageNet's classes.

    Attributes:
      version: One of VERSIONS.
    """

    version: str

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers' names in order; the last is 'logits'."""
        return (*_FEATURES[self.version], "logits")

    def receptive_fields(self) -> dict[str, ReceptiveField]:
        """The receptive field of every layer but the logits."""
        field, fields = ReceptiveField(), {}
        for name, (_, *sizes) in _FEATURES[self.version].items():
            if name == "conv1":
                field = field.through(sizes[1], stride=2)
            elif name.startswith("pool"):
                field = field.through(3, stride=2)
            else:
                field = field.through(3, padding=1)
            fields[name] = field
        return fields

    @nn.compact
    def __call__(self, x: jax.Array, wanted: Sequence[str]) -> dict[str, jax.Array]:
        """Computes the features of images.

        Args:
          x: [batch, height, width, 3] float32, in the convention of the weights.
          wanted: Names of layers. Later layers are not computed.

        Returns:
          {name: [batch, height', width', channels]}, or 'logits': [batch, 1000].
        """
        last = max(map(self.layers.index, wanted))
        features = {}
        for name in self.layers[: last + 1]:
            if name == "logits":
                x = nn.relu(Conv(1000, (1, 1), name="classifier_1")(x))
                x = jnp.mean(x, axis=(1, 2))
            elif name.startswith("pool"):
                x = max_pool_3x3(x)
            else:
                number, *sizes = _FEATURES[self.version][name]
                x = self._module(name, f"features_{number}", sizes)(x)
            if name in wanted:
                features[name] = x
        return features

    def _module(self, name, place, sizes):
        if name != "conv1":
            return Fire(*sizes, name=place)
        width, kernel = sizes
        conv = Conv(width, (kernel, kernel), (2, 2), "VALID", name=place)
        return lambda x: nn.relu(conv(x))
