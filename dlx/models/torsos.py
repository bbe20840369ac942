"""Networks from screens to features, by the name that a config gives."""

from collections.abc import Sequence

from flax import linen as nn

from dlx.models.cnn import CNN
from dlx.models.mlp import MLP


def make(name: str, *, features: Sequence[int], channels: Sequence[int]) -> nn.Module:
    """Makes a torso.

    Args:
      name: 'mlp', fully connected, or 'cnn', convolutional.
      features: Widths of the dense layers.
      channels: Of the convolutions; 'cnn' only.

    Raises:
      ValueError: for another name, or where there are no dense layers.
    """
    if not features:
        raise ValueError("features must name at least one layer's width")
    if name == "mlp":
        return MLP(tuple(features))
    if name == "cnn":
        return CNN(tuple(channels), tuple(features))
    raise ValueError(f"there is no {name!r}; there are: mlp, cnn")
