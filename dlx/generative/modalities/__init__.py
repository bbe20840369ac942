"""Data modalities for generative models: loading, metrics, visualisation."""

from typing import Any, Protocol

import jax
import numpy as np

from dlx import fields
from dlx.data import batches, corpora
from dlx.generative.modalities.images import Images
from dlx.generative.modalities.sounds import Sounds
from dlx.generative.modalities.spectrograms import Spectrograms
from dlx.generative.modalities.texts import Texts

MODALITIES = {
    "images": Images,
    "sounds": Sounds,
    "spectrograms": Spectrograms,
    "texts": Texts,
}
FIELDS = (
    batches.FIELDS
    | corpora.FIELDS
    | {
        "modality": fields.choice(*MODALITIES),
        "reference_classifier": fields.flag(),
        # Weights of SqueezeNet 1.0, which then measures samples.
        "reference_weights": fields.optional(fields.text()),
    }
)


class Modality(Protocol):
    """A data set, its metrics and its visualisation.

    All examples have the same shape. A sound or a text has width 1.

    Attributes:
      batches: Training batches; their examples have 'labels'.
      shape: Height, width and channels of an example.
      num_classes: The number of classes.
      output: The generator's last activation: 'tanh', or 'softmax' over the channels.
      metric: Name of the main metric. Larger values are better.
      about: See `dlx.runtime.task.Task`.
    """

    batches: batches.Batches
    shape: tuple[int, int, int]
    num_classes: int
    output: str
    metric: str
    about: dict[str, str]

    def to_network(self, batch: dict[str, jax.Array]) -> jax.Array:
        """Scales a batch to the network's range, [batch, height, width, channels]."""

    def measure(
        self, samples: np.ndarray, step: int, labels: np.ndarray | None = None
    ) -> dict[str, float]:
        """Measures samples.

        If the samples hardly differ, 'collapsed' is 1 and a warning names the step.

        Args:
          samples: [number, height, width, channels] float32, in the network's range.
          step: The training step.
          labels: [number] integers. The classes that a conditional generator was asked
            for, or None.
        """

    def show(self, samples: np.ndarray, columns: int) -> np.ndarray:
        """Draws samples as one image, [height, width, 3] uint8."""

    def figures(self, samples: np.ndarray) -> dict[str, Any]:
        """Makes further images, sounds and texts from samples; see `figures.save`."""


def load(config) -> Modality:
    """Loads the modality and data set that the config names.

    Raises:
      UserError: if the modality is unknown or its data are missing.
    """
    return MODALITIES[config.modality](config)
