"""Receptive fields of convolutional features."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """A receptive field along one axis.

    Feature i depends on the pixels stride i - before ... stride i + after, both ends
    included.

    Attributes:
      stride: Pixels from one feature to the next.
      before: Pixels to the left of stride i.
      after: Pixels to the right of stride i.
    """

    stride: int = 1
    before: int = 0
    after: int = 0

    def through(
        self, kernel: int, stride: int = 1, padding: int = 0
    ) -> "ReceptiveField":
        """Returns the receptive field after one more layer."""
        return ReceptiveField(
            self.stride * stride,
            self.before + self.stride * padding,
            self.after + self.stride * (kernel - 1 - padding),
        )
