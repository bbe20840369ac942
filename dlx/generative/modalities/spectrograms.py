"""Spectrograms as a modality: images of `spectrograms:NAME`, which can be heard."""

from typing import Any

import numpy as np

from dlx import figures as drawing
from dlx.data import spectrograms
from dlx.errors import UserError
from dlx.generative.modalities.images import Images, to_bytes

_HEARD = 10  # sounds in a figure
_PAUSE = 2000  # silent samples after each of them


class Spectrograms(Images):
    """Spectrograms of sounds; see `dlx.generative.modalities.Modality`."""

    def __init__(self, config):
        """Loads `config.dataset`.

        Raises:
          UserError: if these are no spectrograms, or the data are missing.
        """
        if not config.dataset.startswith(spectrograms.PREFIX):
            raise UserError(
                f"config.modality=spectrograms needs config.dataset="
                f"{spectrograms.PREFIX}NAME, got {config.dataset}"
            )
        super().__init__(config)

    def figures(self, samples: np.ndarray) -> dict[str, Any]:
        """Returns also 'samples': sounds, one after the other, evenly from all rows."""
        chosen = samples[
            np.linspace(0, len(samples), _HEARD, endpoint=False).astype(int)
        ]
        sounds = spectrograms.to_sounds(to_bytes(chosen))
        heard = np.pad(0.9 * sounds, ((0, 0), (0, _PAUSE)))
        return super().figures(samples) | {
            "samples": drawing.Sound(heard.ravel(), spectrograms.RATE)
        }
