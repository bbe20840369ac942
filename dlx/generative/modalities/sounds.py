"""Sounds to be generated: [length, 1, 1], 16-bit samples as -1 ... 1."""

import itertools
from typing import ClassVar

from absl import logging
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures as drawing
from dlx import streams
from dlx.data import batches, sources
from dlx.generative.measures import fid, modes

_WINDOW, _HOP = 256, 64
_BANDS = 32
_REFERENCE = 2000  # real sounds that samples are compared with


class Sounds:
    """See `dlx.generative.modalities.Kind`."""

    output = "tanh"
    metric = "minus_fid_spectrum"
    about: ClassVar = {}

    def __init__(self, config):
        """Reads `config.dataset`, `config.length` samples of each sound.

        Raises:
          UserError: where it cannot be had.
        """
        where = config.data_dir, config.manual_dir
        sounds, test = (
            sources.load_sounds(config.dataset, split, config.length, *where)
            for split in sources.SPLITS
        )
        arrays = {"sounds": sounds.samples, "labels": sounds.labels}
        size = config.batch_size * config.d_steps
        self.batches = batches.Resident(arrays, size, streams.seeds(config))
        self.shape = config.length, 1, 1
        self.num_classes = len(sounds.names)
        self._rate = sounds.rate
        self._real, self._held_out = (
            split.samples[:_REFERENCE] / np.float32(2**15) for split in (sounds, test)
        )

    def units(self, batch: dict[str, jax.Array]) -> jax.Array:
        return batch["sounds"].astype(jnp.float32)[:, :, None, None] / 2**15

    def measure(self, samples: np.ndarray, step: int) -> dict[str, float]:
        bands, real, held_out = (
            _bands(x) for x in (samples[:, :, 0, 0], self._real, self._held_out)
        )
        apart, usual = (modes.pairwise_distance(x) for x in (bands, real))
        collapsed = apart < usual / 2
        if collapsed:
            logging.warning(
                "step %d: it collapses: spectra of samples differ by %.2f, of real "
                "sounds %.2f", step, apart, usual,
            )  # fmt: skip
        distances = fid.comparisons(real, held_out, bands, fid.frechet_distance)
        return {
            "samples": len(samples),
            "collapsed": collapsed,
            "distance": apart,
            **{f"fid_spectrum{what}": d for what, d in distances.items()},
            "fid_samples": fid.comparable(real, held_out, bands),
            "minus_fid_spectrum": -distances[""],
        }

    def show(self, samples: np.ndarray, columns: int) -> np.ndarray:
        pictures = [_spectrogram(x) for x in samples[:, :, 0, 0]]
        return drawing.sheet(np.stack(pictures)[..., None], columns, height=64)

    def figures(self, samples: np.ndarray) -> dict[str, drawing.Sound]:
        """'samples': eight of them one after the other."""
        pause = np.zeros((8, self._rate // 4), np.float32)
        played = np.concatenate([samples[:8, :, 0, 0], pause], axis=1)
        return {"samples": drawing.Sound(played.ravel(), self._rate)}


def _power(sounds):
    """[..., length] -> [..., windows, frequencies] power in decibels, from -80 on."""
    windows = np.lib.stride_tricks.sliding_window_view(sounds, _WINDOW, axis=-1)
    spectra = np.fft.rfft(windows[..., ::_HOP, :] * np.hanning(_WINDOW))
    return 10 * np.log10(np.abs(spectra) ** 2 / _WINDOW + 1e-8)


def _bands(sounds):
    """Mean and deviation over time of the power in each band, [number, 2 bands]."""
    power = _power(sounds)
    edges = np.linspace(0, power.shape[-1], _BANDS + 1).astype(int)
    bands = np.stack(
        [power[..., a:b].mean(axis=-1) for a, b in itertools.pairwise(edges)]
    )
    return np.concatenate([bands.mean(axis=-1), bands.std(axis=-1)]).T


def _spectrogram(sound):
    """Low frequencies at the bottom, time to the right, [height, width] uint8."""
    power = np.clip(_power(sound).T[::-1], -60, 20)
    return np.uint8(np.round(255 * (power + 60) / 80))
