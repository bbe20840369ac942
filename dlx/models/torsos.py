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
      ValueError: for another name, no dense layers, or widths that are none.
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
    raise ValueError(f"there is no {name!r}; there are: mlp, cnn")
