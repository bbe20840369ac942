"""What can be generated: a kind of data, how its samples are judged, and shown."""

from typing import Any, Protocol

import jax
import numpy as np

from dlx.data.batches import Batches
from dlx.errors import require_one_of
from dlx.generative.modalities.images import Pictures
from dlx.generative.modalities.sounds import Sounds
from dlx.generative.modalities.texts import Texts

KINDS = {"pictures": Pictures, "sounds": Sounds, "texts": Texts}


class Kind(Protocol):
    """Data to be imitated, all of one shape; a sound or a text is 1 wide.

    Attributes:
      batches: To train on; of examples that have 'labels'.
      shape: Of an example: height, width, channels.
      num_classes: Of the labels.
      output: What the generator's last layer is to be: 'tanh', or 'softmax' over the
        channels.
      metric: The name of the measure that matters most; more is better.
      about: As of `dlx.runtime.task.Task`.
    """

    batches: Batches
    shape: tuple[int, int, int]
    num_classes: int
    output: str
    metric: str
    about: dict[str, str]

    def units(self, batch: dict[str, jax.Array]) -> jax.Array:
        """A batch as networks see it, [batch, height, width, channels] float32."""

    def measure(self, samples: np.ndarray, step: int) -> dict[str, float]:
        """Measures samples, [number, height, width, channels], as networks see them.

        Warns, with the step, where they are all alike: then 'collapsed' is 1.
        """

    def show(self, samples: np.ndarray, columns: int) -> np.ndarray:
        """A picture of samples, [height, width, 3] uint8."""

    def figures(self, samples: np.ndarray) -> dict[str, Any]:
        """What else there is to see, hear or read of samples: `dlx.figures.save`."""


def load(config) -> Kind:
    """The kind that `config.kind` names, with its data.

    Raises:
      UserError: where there is none, or its data cannot be had.
    """
    require_one_of(config, "kind", tuple(KINDS))
    return KINDS[config.kind](config)
