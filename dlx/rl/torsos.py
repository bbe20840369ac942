"""Networks from observations to features, made from a config's fields."""

from collections.abc import Sequence

from flax import linen as nn

from dlx.models.cnn import CNN
from dlx.models.mlp import MLP


def make(name: str, *, features: Sequence[int], channels: Sequence[int]) -> nn.Module:
    """Makes a torso.

    Args:
      name: 'mlp', fully connected, or 'cnn', convolutional.
      features: The widths of the dense layers.
      channels: The channels of the convolutions of 'cnn'.

    Raises:
      ValueError: if the name is unknown, there is no dense layer, or a width is not a
        positive integer.
    """
    widths = [*features, *channels]
    if not features or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(
            f"layers need positive integer widths, got features={tuple(features)} and "
            f"channels={tuple(channels)}"
        )
    if name == "mlp":
        return MLP(tuple(features))
    if name == "cnn":
        return CNN(tuple(channels), tuple(features))
    raise ValueError(f"unknown network {name!r}; known are: mlp, cnn")
