"""Sounds as a modality: [length, 1, 1], whose 16-bit values are scaled to -1 ... 1."""

import itertools
from typing import ClassVar

from absl import logging
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures as drawing
from dlx import streams
from dlx.data import batches, sources, splits
from dlx.generative.measures import fid, modes

_WINDOW, _HOP = 256, 64
_BANDS = 32
_REFERENCE = 2000  # real sounds that samples are compared with


class Sounds:
    """Sounds; see `dlx.generative.modalities.Modality`."""

    output = "tanh"
    metric = "minus_fid_spectrum"
    about: ClassVar = {}

    def __init__(self, config):
        """Loads `config.dataset`, with `config.length` values of each sound.

        Raises:
          UserError: if the data are missing.
        """
        where = config.data_dir, config.manual_dir, splits.validation(config)
        sounds, test = (
            sources.load_sounds(config.dataset, split, config.length, *where)
            for split in ("train", splits.evaluated(config))
        )
        arrays = {"sounds": sounds.samples, "labels": sounds.labels}
        size = config.batch_size * config.get("d_steps", 1)
        self.batches = batches.Resident(arrays, size, streams.seeds(config))
        self.shape = config.length, 1, 1
        self.num_classes = len(sounds.names)
        self._rate = sounds.rate
        self._real, self._held_out = (
            split.samples[:_REFERENCE] / np.float32(2**15) for split in (sounds, test)
        )

    def to_network(self, batch: dict[str, jax.Array]) -> jax.Array:
        return batch["sounds"].astype(jnp.float32)[:, :, None, None] / 2**15

    def measure(
        self, samples: np.ndarray, step: int, labels: np.ndarray | None = None
    ) -> dict[str, float]:
        del labels
        bands, real, held_out = (
            _bands(x) for x in (samples[:, :, 0, 0], self._real, self._held_out)
        )
        distance, real_distance = (modes.pairwise_distance(x) for x in (bands, real))
        collapsed = distance < real_distance / 2
        if collapsed:
            logging.warning(
                "step %d: possible mode collapse: mean pairwise distance of spectra "
                "%.2f (real %.2f)", step, distance, real_distance,
            )  # fmt: skip
        distances = fid.comparisons(real, held_out, bands, fid.frechet_distance)
        return {
            "samples": len(samples),
            "collapsed": collapsed,
            "distance": distance,
            **{f"fid_spectrum{suffix}": d for suffix, d in distances.items()},
            "fid_samples": fid.comparable(real, held_out, bands),
            "minus_fid_spectrum": -distances[""],
        }

    def show(self, samples: np.ndarray, columns: int) -> np.ndarray:
        images = [_spectrogram(x) for x in samples[:, :, 0, 0]]
        return drawing.sheet(np.stack(images)[..., None], columns, height=64)

    def figures(self, samples: np.ndarray) -> dict[str, drawing.Sound]:
        """Returns 'samples': eight sounds, one after the other."""
        pause = np.zeros((8, self._rate // 4), np.float32)
        sounds = np.concatenate([samples[:8, :, 0, 0], pause], axis=1)
        return {"samples": drawing.Sound(sounds.ravel(), self._rate)}


def _power(sounds):
    """[..., length] -> [..., windows, frequencies]: power in decibels, at least -80."""
    windows = np.lib.stride_tricks.sliding_window_view(sounds, _WINDOW, axis=-1)
    spectra = np.fft.rfft(windows[..., ::_HOP, :] * np.hanning(_WINDOW))
    return 10 * np.log10(np.abs(spectra) ** 2 / _WINDOW + 1e-8)


def _bands(sounds):
    """Mean and standard deviation over time of each band's power, [number, 2 bands]."""
    power = _power(sounds)
    edges = np.linspace(0, power.shape[-1], _BANDS + 1).astype(int)
    bands = np.stack(
        [power[..., a:b].mean(axis=-1) for a, b in itertools.pairwise(edges)]
    )
    return np.concatenate([bands.mean(axis=-1), bands.std(axis=-1)]).T


def _spectrogram(sound):
    """Spectrogram, [height, width] uint8, with low frequencies at the bottom."""
    power = np.clip(_power(sound).T[::-1], -60, 20)
    return np.uint8(np.round(255 * (power + 60) / 80))
