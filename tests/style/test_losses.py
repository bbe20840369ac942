"""Styles and how far they are from each other, in NumPy and SciPy's words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from dlx.models.receptive_field import Reach
from dlx.style import losses

RANDOM = np.random.default_rng(0)


def _features(height=5, width=7, channels=4, scale=1.0):
    values = RANDOM.normal(size=(height, width, channels)) * scale + 0.3
    return np.float32(np.maximum(values, 0))


def _of(features):
    return losses.statistics(jnp.asarray(features), jnp.ones(features.shape[:2]))


def test_statistics_are_those_of_all_positions():
    features, weights = _features(), np.float32(RANDOM.uniform(size=(5, 7)))
    found = losses.statistics(jnp.asarray(features), jnp.asarray(weights))
    flat, w = features.reshape(-1, 4), weights.reshape(-1)
    np.testing.assert_allclose(found.mean, np.average(flat, axis=0, weights=w), 1e-5)
    cov = np.cov(flat.T, aweights=w, ddof=0)
    np.testing.assert_allclose(found.covariance, cov, atol=1e-5)


def test_parts_add_up_to_the_whole():
    features = _features()
    parts = [_of(features[:2]), _of(features[2:])]
    together = jax.tree.map(lambda *leaves: sum(leaves), *parts)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        together,
        _of(features),
    )


def test_the_gradient_of_products_is_jax_s_own():
    features, weights = _features(), RANDOM.uniform(size=(5, 7)).astype(np.float32)
    direction = np.float32(RANDOM.normal(size=(4, 4)))

    def ours(features, weights):
        return jnp.sum(direction * losses.statistics(features, weights).products)

    def plain(features, weights):
        products = jnp.einsum("hwc,hwd,hw->cd", features, features, weights)
        return jnp.sum(direction * products)

    for a, b in zip(
        *(jax.grad(f, (0, 1))(features, weights) for f in (ours, plain)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_gram_loss_is_the_paper_s_equation_4():
    ours, target = _features(), _features(scale=2.0)

    def gram(features):
        f = features.reshape(-1, 4).T  # N filters of M positions
        return f @ f.T

    n, m = 4, 35
    paper = np.sum((gram(ours) - gram(target)) ** 2) / (4 * n**2 * m**2)
    unit = np.sum(gram(target) ** 2) / (4 * n**2 * m**2)
    found = losses.gram_loss(_of(ours), _of(target))
    np.testing.assert_allclose(found, paper / unit, rtol=1e-5)


def test_moments_loss_is_of_means_and_deviations():
    ours, target = (f.reshape(-1, 4) for f in (_features(), _features(scale=2.0)))
    far = np.sum((ours.mean(0) - target.mean(0)) ** 2)
    far += np.sum((ours.std(0) - target.std(0)) ** 2)
    found = losses.moments_loss(_of(ours[None]), _of(target[None]))
    np.testing.assert_allclose(found, far / np.sum(np.mean(target**2, 0)), rtol=1e-4)


def test_wasserstein_loss_is_the_distance_of_gaussians():
    ours, target = (f.reshape(-1, 4) for f in (_features(), _features(scale=2.0)))
    a, b = (np.cov(f.T, ddof=0) for f in (ours, target))
    root = scipy.linalg.sqrtm(b)
    far = np.sum((ours.mean(0) - target.mean(0)) ** 2)
    far += np.trace(a + b - 2 * scipy.linalg.sqrtm(root @ a @ root)).real
    found = losses.wasserstein_loss(_of(ours[None]), _of(target[None]))
    np.testing.assert_allclose(found, far / np.sum(np.mean(target**2, 0)), rtol=1e-3)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses_are_nought_for_the_style_itself_and_their_gradients_true(name):
    loss, target = losses.LOSSES[name], _of(_features(scale=2.0))
    np.testing.assert_allclose(loss(target, target), 0, atol=1e-5)
    features, step = _features(), 1e-2
    # Along the gradient: across it the slope is nearly 0, and so is what it differs by.
    gradient = jax.grad(lambda f: loss(_of(f), target))(features)
    direction = gradient / jnp.sqrt(jnp.mean(gradient**2))
    above, below = (
        loss(_of(features + sign * step * direction), target) for sign in (1, -1)
    )
    slope = jnp.sum(gradient * direction)
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=2e-2)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses_are_about_one_for_nothing(name):
    target = _of(_features())
    np.testing.assert_allclose(
        losses.LOSSES[name](_of(np.zeros((5, 7, 4))), target), 1, atol=0.02
    )


def test_total_variation_by_hand():
    picture = jnp.array([[0.0, 1.0], [0.0, 3.0]])[..., None]
    assert losses.total_variation(picture) == (0 + 4) / 2 + (1 + 9) / 2


def test_keeping_colours_keeps_chrominance_and_the_gamut():
    painted, photograph = RANDOM.uniform(size=(2, 6, 5, 3)).astype(np.float32)
    photograph[0, 0], photograph[0, 1] = 0, 1  # black and white have no room
    kept = np.asarray(losses.with_colours_of(painted, photograph))
    assert kept.min() >= -1e-6 and kept.max() <= 1 + 1e-6
    i_and_q = losses._YIQ[1:].T
    np.testing.assert_allclose(kept @ i_and_q, photograph @ i_and_q, atol=1e-5)
    y = losses._YIQ[0]
    assert np.corrcoef((kept @ y).ravel(), (painted @ y).ravel())[0, 1] > 0.5


@pytest.mark.parametrize("side", [97, 160, 333])
@pytest.mark.parametrize("longest", [72, 100])
def test_every_feature_is_in_one_window_that_holds_all_it_sees(side, longest):
    shallow = Reach().through(7, stride=2)
    deep = shallow.through(3, stride=2).through(3, padding=1)
    cut = losses.cut(side, [shallow, deep], longest)
    assert cut.length <= longest
    for reach in (shallow, deep):
        starts = np.array(cut.starts)
        assert not np.any(starts % reach.stride)
        number = (side - reach.after - 1) // reach.stride + 1
        in_window = (cut.length - reach.after - 1) // reach.stride + 1
        owners = np.zeros(number + 100, int)
        for start, owned in zip(starts, cut.owned(reach, in_window), strict=True):
            for i in np.flatnonzero(owned):
                place = start + reach.stride * i
                owners[place // reach.stride] += 1
                first, last = place - reach.before, place + reach.after
                assert first >= start or start == 0
                assert last < start + cut.length
        assert np.all(owners[:number] == 1) and not owners[number:].any()


def test_a_window_too_short_is_told_of():
    with pytest.raises(ValueError, match="windows of 40 pixels are too short; 6"):
        losses.cut(500, [Reach(8, 16, 34)], 40)
    assert losses.cut(500, [Reach(8, 16, 34)], 0).starts == (0,)
