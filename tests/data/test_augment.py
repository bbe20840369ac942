"""Each augmentation changes images as documented, with the documented frequency."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.data import augment


@pytest.fixture
def images():
    return jnp.array(np.random.default_rng(0).normal(size=(4000, 3, 4, 2)), jnp.float32)


def test_flip(images):
    flipped = np.asarray(augment.flip(jax.random.key(0), images))
    same = (flipped == np.asarray(images)).all((1, 2, 3))
    mirrored = (flipped == np.asarray(images)[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert abs(same.mean() - 0.5) < 0.04  # five standard deviations


def test_alternating_flip(images):
    index = jnp.arange(4000)
    even, odd, next_even = (
        np.asarray(
            augment.alternating_flip(
                jax.random.key(1), index, jnp.full(4000, e), images
            )
        )
        for e in (0, 1, 2)
    )
    images, mirrored = np.asarray(images), np.asarray(images)[:, :, ::-1]
    half = (even == mirrored).all((1, 2, 3))
    assert abs(half.mean() - 0.5) < 0.04
    np.testing.assert_array_equal(even[~half], images[~half])
    np.testing.assert_array_equal(odd, even[:, :, ::-1], "the other side, each epoch")
    np.testing.assert_array_equal(next_even, even)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_shift(images, mode):
    shifted = np.asarray(augment.shift(jax.random.key(0), images, 1, mode))
    border = (0, 0), (1, 1), (1, 1), (0, 0)
    padded = np.pad(np.asarray(images), border, mode=mode)
    counts = np.zeros((3, 3))
    for down, right in np.ndindex(3, 3):
        window = padded[:, down : down + 3, right : right + 4]
        counts[down, right] = (shifted == window).all((1, 2, 3)).sum()
    assert counts.sum() == len(images), "each is one of the nine shifts"
    assert np.sum((counts - 4000 / 9) ** 2) / (4000 / 9) < 32  # 8 degrees: p 1e-4


def test_affine():
    """A long blob's angle and size, from its second moments."""
    y, x = np.mgrid[-24:25, -24:25]
    blob = np.exp(-((x / 6) ** 2 + (y / 2) ** 2) / 2)
    images = jnp.broadcast_to(blob[:, :, None], (2000, 49, 49, 2)).astype(jnp.float32)
    changed = np.asarray(augment.affine(jax.random.key(0), images, 30.0, 0.25))
    np.testing.assert_array_equal(changed[..., 0], changed[..., 1])
    share = changed[..., 0] / changed[..., 0].sum((1, 2), keepdims=True)
    xx, yy, xy = (np.sum(share * term, (1, 2)) for term in (x**2, y**2, x * y))
    np.testing.assert_allclose(np.sum(share * x, (1, 2)), 0, atol=0.02)
    angles = np.degrees(np.arctan2(2 * xy, xx - yy) / 2)
    assert -30.3 < angles.min() < -29.5 and 29.5 < angles.max() < 30.3
    assert abs(np.std(angles) - 60 / 12**0.5) < 1, "uniform"
    sizes = np.sqrt((xx + yy) / 40)
    assert 0.74 < sizes.min() < 0.77 and 1.23 < sizes.max() < 1.26
    assert abs(np.corrcoef(angles, sizes)[0, 1]) < 0.1, "drawn apart"


def test_affine_of_nothing_changes_nothing(images):
    same = augment.affine(jax.random.key(0), images, 0.0, 0.0)
    np.testing.assert_allclose(same, images, atol=1e-5)


def test_brightness(images):
    change = np.asarray(augment.brightness(jax.random.key(0), images, 0.5) - images)
    assert np.ptp(change, axis=(1, 2, 3)).max() < 1e-5, "one number per image"
    per_image = change[:, 0, 0, 0]
    assert -0.5 <= per_image.min() < -0.49 and 0.49 < per_image.max() <= 0.5


def test_contrast(images):
    changed = np.asarray(augment.contrast(jax.random.key(0), images, 0.5, 1.5))
    images = np.asarray(images)
    mean = images.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(changed.mean((1, 2), keepdims=True), mean, atol=1e-5)
    factors = (changed - mean) / (images - mean)
    spread = np.percentile(factors, 75, axis=(1, 2, 3)) - np.percentile(
        factors, 25, axis=(1, 2, 3)
    )
    assert np.median(spread) < 1e-3, "one number per image"
    middles = np.median(factors, axis=(1, 2, 3))
    assert 0.49 < middles.min() < 0.52 and 1.48 < middles.max() < 1.51


def test_cutout():
    cut = np.asarray(augment.cutout(jax.random.key(0), jnp.ones((2000, 8, 8, 1)), 0.5))
    for image in cut[..., 0]:
        rows, columns = (np.flatnonzero((image == 0).any(axis)) for axis in (1, 0))
        assert np.all(image[np.ix_(rows, columns)] == 0), "a rectangle"
        assert (image == 0).sum() == len(rows) * len(columns) <= 16
        assert 2 <= len(rows) <= 4 and np.ptp(rows) < 4, "half as high, perhaps less"
    assert np.all(cut.mean(axis=(0, 3)) < 1), "every pixel may be hit"
