"""Distances between distributions whose distance is known."""

import numpy as np
import pytest

from dlx.generative.measures import fid


def _with_moments(mean, factor, samples=4000, seed=0):
    """Draws samples with exactly this mean and covariance."""
    x = np.random.default_rng(seed).normal(size=(samples, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return mean + x @ factor.T


def test_frechet_distance_of_two_normal_distributions_in_closed_form():
    # Equal axes make the covariances commute; their term is the sum of (s - s')^2.
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    s, t = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.1, 0.5])
    a = _with_moments(np.array([0.0, 1.0, 2.0]), turn * s)
    b = _with_moments(np.array([1.0, 1.0, 0.0]), turn * t, seed=2)
    assert np.isclose(fid.frechet_distance(a, b), 1 + 4 + np.sum((s - t) ** 2))
    assert np.isclose(fid.frechet_distance(a, a), 0, atol=1e-8)


def test_all_comparisons_have_the_same_number_of_samples():
    """The fewer the samples, the larger a distribution's distance from itself."""
    draw = np.random.default_rng(7).normal(size=(3000, 20))
    train, held_out, fake = draw[:1500], draw[1500:1800], draw[1800:]
    distances = fid.comparisons(train, held_out, fake, fid.frechet_distance)
    assert distances.keys() == {"", "_held_out", "_floor"}
    assert distances["_floor"] == fid.frechet_distance(train[:300], held_out)
    assert distances["_held_out"] == fid.frechet_distance(held_out, fake[:300])
    assert max(distances.values()) < 1.4 * min(distances.values())
    unequal = fid.frechet_distance(train, fake)
    assert distances["_floor"] > 2 * unequal


def test_frechet_distance_when_covariances_do_not_commute():
    scipy_linalg = pytest.importorskip("scipy.linalg")
    generator = np.random.default_rng(3)
    a, b = (
        generator.normal(size=(500, 4)) @ generator.normal(size=(4, 4)) for _ in "ab"
    )
    c, c_ = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(scipy_linalg.sqrtm(c @ c_).real)
    direct = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(c + c_) - 2 * root
    assert np.isclose(fid.frechet_distance(a, b), direct)


def test_mean_kernel_distance_of_equal_distributions_is_zero():
    generator = np.random.default_rng(4)
    draw = [generator.normal(size=(2000, 5)) for _ in range(2)]
    shifted = draw[1] + 1
    same, other = (fid.kernel_distance(draw[0], x) for x in (draw[1], shifted))
    assert abs(same) < 0.02 < 0.5 < other


def test_kernel_distance_from_all_pairs():
    generator = np.random.default_rng(5)
    x, y = generator.normal(size=(2, 6, 3))

    def kernel(a, b):
        return (np.dot(a, b) / 3 + 1) ** 3

    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    direct = np.mean([kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs])
    direct -= 2 * np.mean([kernel(a, b) for a in x for b in y])
    assert np.isclose(fid.kernel_distance(x, y, subsets=1), direct)


def test_precision_is_of_samples_and_recall_of_real_examples():
    generator = np.random.default_rng(6)
    left, right = generator.normal(size=(2, 500, 2)) * 0.1
    right += 10
    union = np.concatenate([left, right])
    precision, recall = fid.precision_recall(union, left[::-1])
    assert precision == 1 and np.isclose(recall, 0.5, atol=0.01), "half is missing"
    precision, recall = fid.precision_recall(left, union)
    assert np.isclose(precision, 0.5, atol=0.01) and recall == 1, "half is false"
