"""Which of a picture's pixels a feature sees."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reach:
    """Feature i of a layer sees pixels stride i - before ... stride i + after.

    Along either axis, both ends included.
    """

    stride: int = 1
    before: int = 0
    after: int = 0

    def through(self, kernel: int, stride: int = 1, padding: int = 0) -> "Reach":
        """What the features of one more layer see."""
        return Reach(
            self.stride * stride,
            self.before + self.stride * padding,
            self.after + self.stride * (kernel - 1 - padding),
        )
