"""Spectrograms of sounds as grey images, and sounds of such images.

`spectrograms:NAME` is the data set NAME of sounds (dlx/data/sounds.py). An image shows
time from left to right and frequency from the bottom up; a byte is a level in decibels.
"""

import numpy as np
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

PREFIX = "spectrograms:"
LENGTH, RATE = 4096, 8000  # samples of a sound, and in a second of it
_FREQUENCIES, _HOP = 64, 32
_RANGE = 70.0  # decibels from black to white, which is a full-scale sine
_ITERATIONS, _MOMENTUM = 60, 0.99

_WINDOW = hann(2 * _FREQUENCIES, sym=False)
_STFT = ShortTimeFFT(_WINDOW, _HOP, fs=1, scale_to="magnitude")
SHAPE = _FREQUENCIES, LENGTH // _HOP, 1


def from_sounds(sounds: np.ndarray) -> np.ndarray:
    """Draws the levels of sounds.

    All sounds are scaled to the same peak first. The highest frequency, half the
    sampling rate, is left out.

    Args:
      sounds: [number, LENGTH] int16 or float32.

    Returns:
      [number, *SHAPE] uint8.
    """
    sounds = np.asarray(sounds, np.float32)
    peaks = np.max(np.abs(sounds), axis=1, keepdims=True)
    magnitudes = 2 * np.abs(_transform(sounds / np.maximum(peaks, 1e-9)))[:, :-1]
    levels = np.clip(20 / _RANGE * np.log10(np.maximum(magnitudes, 1e-9)) + 1, 0, 1)
    return np.uint8(np.round(255 * levels))[:, ::-1, :, None]


def to_sounds(images: np.ndarray) -> np.ndarray:
    """Finds sounds with these levels.

    Phases are found by projecting in turns onto the spectra with these levels and onto
    those that belong to a sound, with momentum (Perraudin, Balazs and Sondergaard 2013,
    "A fast Griffin-Lim algorithm").

    Args:
      images: [number, *SHAPE] uint8.

    Returns:
      [number, LENGTH] float32.
    """
    levels = np.asarray(images[..., 0], np.float32)[:, ::-1] / 255
    magnitudes = np.where(levels, 10 ** (_RANGE / 20 * (levels - 1)), 0) / 2
    magnitudes = np.pad(magnitudes, ((0, 0), (0, 1), (0, 0)))
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, magnitudes.shape)
    spectra = last = magnitudes * np.exp(1j * phases)
    for _ in range(_ITERATIONS):
        possible = _transform(_inverse(spectra))
        ahead = possible + _MOMENTUM * (possible - last)
        spectra, last = magnitudes * np.exp(1j * np.angle(ahead)), possible
    return np.float32(_inverse(spectra))


def _transform(sounds):
    """[number, LENGTH] -> [number, frequencies, windows], one window each _HOP."""
    return _STFT.stft(sounds, p0=0, p1=SHAPE[1], axis=-1)


def _inverse(spectra):
    """The least-squares inverse, with silence in windows that have no spectrum."""
    missing = -_STFT.p_min, _STFT.p_max(LENGTH) - SHAPE[1]
    spectra = np.pad(spectra, ((0, 0), (0, 0), missing))
    return _STFT.istft(spectra, k1=LENGTH, f_axis=-2, t_axis=-1)
