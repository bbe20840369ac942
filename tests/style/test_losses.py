"""Style statistics and losses against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from dlx.style import losses

RANDOM = np.random.default_rng(0)


def _features(height=5, width=7, channels=4, scale=1.0):
    values = RANDOM.normal(size=(height, width, channels)) * scale + 0.3
    return np.float32(np.maximum(values, 0))


def _statistics(features):
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
    parts = [_statistics(features[:2]), _statistics(features[2:])]
    together = jax.tree.map(lambda *leaves: sum(leaves), *parts)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        together,
        _statistics(features),
    )


def test_the_gradient_of_products_is_jax_s_own():
    features, weights = _features(), RANDOM.uniform(size=(5, 7)).astype(np.float32)
    direction = np.float32(RANDOM.normal(size=(4, 4)))

    def custom(features, weights):
        return jnp.sum(direction * losses.statistics(features, weights).products)

    def plain(features, weights):
        products = jnp.einsum("hwc,hwd,hw->cd", features, features, weights)
        return jnp.sum(direction * products)

    for a, b in zip(
        *(jax.grad(f, (0, 1))(features, weights) for f in (custom, plain)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_gram_loss_is_the_paper_s_equation_4():
    picture, target = _features(), _features(scale=2.0)

    def gram(features):
        f = features.reshape(-1, 4).T  # N filters of M positions
        return f @ f.T

    n, m = 4, 35
    paper = np.sum((gram(picture) - gram(target)) ** 2) / (4 * n**2 * m**2)
    unit = np.sum(gram(target) ** 2) / (4 * n**2 * m**2)
    found = losses.gram_loss(_statistics(picture), _statistics(target))
    np.testing.assert_allclose(found, paper / unit, rtol=1e-5)


def test_moments_loss_is_of_means_and_deviations():
    picture, target = (f.reshape(-1, 4) for f in (_features(), _features(scale=2.0)))
    far = np.sum((picture.mean(0) - target.mean(0)) ** 2)
    far += np.sum((picture.std(0) - target.std(0)) ** 2)
    found = losses.moments_loss(_statistics(picture[None]), _statistics(target[None]))
    np.testing.assert_allclose(found, far / np.sum(np.mean(target**2, 0)), rtol=1e-4)


def test_wasserstein_loss_is_the_distance_of_gaussians():
    picture, target = (f.reshape(-1, 4) for f in (_features(), _features(scale=2.0)))
    a, b = (np.cov(f.T, ddof=0) for f in (picture, target))
    root = scipy.linalg.sqrtm(b)
    far = np.sum((picture.mean(0) - target.mean(0)) ** 2)
    far += np.trace(a + b - 2 * scipy.linalg.sqrtm(root @ a @ root)).real
    found = losses.wasserstein_loss(
        _statistics(picture[None]), _statistics(target[None])
    )
    np.testing.assert_allclose(found, far / np.sum(np.mean(target**2, 0)), rtol=1e-3)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses_are_0_for_the_style_itself_and_their_gradients_true(name):
    loss, target = losses.LOSSES[name], _statistics(_features(scale=2.0))
    np.testing.assert_allclose(loss(target, target), 0, atol=1e-5)
    features, step = _features(), 1e-2
    # In the gradient's direction: in a random one the slope would be nearly 0.
    gradient = jax.grad(lambda f: loss(_statistics(f), target))(features)
    direction = gradient / jnp.sqrt(jnp.mean(gradient**2))
    above, below = (
        loss(_statistics(features + sign * step * direction), target)
        for sign in (1, -1)
    )
    slope = jnp.sum(gradient * direction)
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=2e-2)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses_are_about_one_for_a_blank_image(name):
    target = _statistics(_features())
    np.testing.assert_allclose(
        losses.LOSSES[name](_statistics(np.zeros((5, 7, 4))), target), 1, atol=0.02
    )


def test_total_variation_by_hand():
    picture = jnp.array([[0.0, 1.0], [0.0, 3.0]])[..., None]
    assert losses.total_variation(picture) == (0 + 4) / 2 + (1 + 9) / 2


def test_keeping_colours_keeps_chrominance_and_the_gamut():
    painted, photograph = RANDOM.uniform(size=(2, 6, 5, 3)).astype(np.float32)
    photograph[0, 0], photograph[0, 1] = 0, 1  # black and white leave no range
    result = np.asarray(losses.with_colours_of(painted, photograph))
    assert result.min() >= -1e-6 and result.max() <= 1 + 1e-6
    i_and_q = losses._YIQ[1:].T
    np.testing.assert_allclose(result @ i_and_q, photograph @ i_and_q, atol=1e-5)
    y = losses._YIQ[0]
    assert np.corrcoef((result @ y).ravel(), (painted @ y).ravel())[0, 1] > 0.5
