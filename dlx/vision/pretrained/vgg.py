"""VGG-16 and VGG-19 (Simonyan and Zisserman 2015) as feature extractors.

Modules have torchvision's names, which lets torchvision's weights be loaded.
"""

from collections.abc import Sequence
import functools

from flax import linen as nn
import jax

from dlx.models.layers import Conv, average_pool, max_pool
from dlx.models.receptive_field import ReceptiveField

_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # in each block
_WIDTHS = 64, 128, 256, 512, 512
DEPTHS = tuple(_CONVOLUTIONS)
POOLS = {"max": max_pool, "average": average_pool}


class VGG(nn.Module):
    """Features of every layer after its ReLU, and the logits of ImageNet's classes.

    Attributes:
      depth: One of DEPTHS.
      pooling: One of POOLS. Gatys et al. prefer 'average'.
    """

    depth: int
    pooling: str = "max"

    @property
    def layers(self) -> tuple[str, ...]:
        """'relu1_1', 'relu1_2', 'pool1', 'relu2_1', ..., 'pool5', 'logits'."""
        names = []
        for block, number in enumerate(_CONVOLUTIONS[self.depth], 1):
            names += [f"relu{block}_{n}" for n in range(1, number + 1)]
            names += [f"pool{block}"]
        return (*names, "logits")

    def receptive_fields(self) -> dict[str, ReceptiveField]:
        """The receptive field of every layer but the logits."""
        field, fields = ReceptiveField(), {}
        for name in self.layers[:-1]:
            pool = name.startswith("pool")
            field = field.through(2, stride=2) if pool else field.through(3, padding=1)
            fields[name] = field
        return fields

    @nn.compact
    def __call__(self, x: jax.Array, wanted: Sequence[str]) -> dict[str, jax.Array]:
        """Computes the features of images.

        Args:
          x: [batch, height, width, 3] float32, in the convention of the weights. Logits
            need 224x224 pixels.
          wanted: Names of layers. Later layers are not computed.

        Returns:
          {name: [batch, height', width', channels]}, or 'logits': [batch, 1000].
        """
        last = max(map(self.layers.index, wanted))
        features = {}
        place = 0  # in torchvision's `features`, which counts ReLUs
        for name in self.layers[: last + 1]:
            if name == "logits":
                x = self._classify(x)
            elif name.startswith("pool"):
                x = POOLS[self.pooling](x)
                place += 1
            else:
                width = _WIDTHS[int(name[4]) - 1]
                x = nn.relu(Conv(width, (3, 3), name=f"features_{place}")(x))
                place += 2
            if name in wanted:
                features[name] = x
        return features

    def _classify(self, x):
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # torchvision's order
        dense = functools.partial(nn.Dense, 4096)
        x = nn.relu(dense(name="classifier_0")(x))
        x = nn.relu(dense(name="classifier_3")(x))
        return nn.Dense(1000, name="classifier_6")(x)
