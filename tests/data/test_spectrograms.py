"""Spectrograms of sounds, and sounds of spectrograms."""

import numpy as np

from dlx.data import spectrograms

RATE = 8000


def _tone(pitch, loudness=1.0):
    return loudness * np.sin(2 * np.pi * pitch * np.arange(4096) / RATE)


def _decibels(images):
    """[number, frequencies from 0 up, windows]; -70 is black."""
    return 70 * (images[:, ::-1, :, 0] / 255 - 1)


def test_a_tone_lights_the_row_of_its_pitch_and_its_level_is_zero():
    images = spectrograms.from_sounds(np.stack([_tone(1000), _tone(2000)]))
    assert images.shape == (2, *spectrograms.SHAPE) and images.dtype == np.uint8
    levels = _decibels(images)[:, :, 8:-8]  # windows that lie inside
    for level, pitch in zip(levels, (1000, 2000), strict=True):
        row = pitch * 128 // RATE
        assert np.all(level.argmax(axis=0) == row)
        np.testing.assert_allclose(level[row], 0, atol=0.3)
        # A Hann window spreads a tone over three rows, the outer ones at half.
        np.testing.assert_allclose(level[[row - 1, row + 1]], -6.02, atol=0.3)
        assert np.all(level[np.abs(np.arange(64) - row) > 1] < -60)


def test_levels_are_those_of_windowed_fourier_transforms():
    sound = np.random.default_rng(0).normal(size=4096)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128)
    levels = _decibels(spectrograms.from_sounds(sound[None]))[0]
    scaled = sound / np.abs(sound).max()
    for column in (10, 50, 100):
        first = 32 * column - 64  # the window's middle is at 32 times the column
        spectrum = np.fft.rfft(scaled[first : first + 128] * window)[:64]
        expected = 20 * np.log10(2 * np.abs(spectrum) / window.sum())
        np.testing.assert_allclose(
            levels[:, column], np.maximum(expected, -70), atol=0.15
        )


def test_loudness_does_not_matter():
    quiet, loud = (_tone(700, loudness) for loudness in (1e-3, 0.5))
    images = spectrograms.from_sounds(np.stack([quiet, loud]))
    np.testing.assert_array_equal(images[0], images[1])
    whole = np.round(32_000 * _tone(700)).astype(np.int16)
    difference = spectrograms.from_sounds(whole[None]) - images[:1].astype(int)
    assert np.abs(difference[images[:1] > 100]).max() <= 1


def test_a_sound_of_a_spectrogram_has_that_spectrogram():
    """Two tones that rise and fall, and noise between them."""
    rise = np.sin(np.pi * np.arange(4096) / 4096) ** 2
    noise = np.random.default_rng(0).normal(size=4096)
    sound = rise * (_tone(500) + 0.3 * _tone(1800))
    images = spectrograms.from_sounds(np.stack([sound, sound + 0.1 * noise]))
    again = spectrograms.from_sounds(spectrograms.to_sounds(images))
    errors = _decibels(again) - _decibels(images)
    for error, loud, most in zip(errors, _decibels(images) > -30, (1, 3), strict=True):
        error = error[loud] - np.median(error[loud])  # the peak may be another
        assert np.mean(np.abs(error)) < most


def test_silence_is_black_and_black_is_silent():
    silence = np.zeros((2, 4096), np.int16)
    images = spectrograms.from_sounds(silence)
    assert not images.any() and not spectrograms.to_sounds(images).any()
