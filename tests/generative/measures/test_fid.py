"""Distances of distributions whose distance is known."""

import numpy as np
import pytest

from dlx.generative.measures import fid


def _with_moments(mean, factor, samples=4000, seed=0):
    """Samples whose mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(samples, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return mean + x @ factor.T


def test_frechet_distance_of_two_normal_distributions_in_closed_form():
    # Axes turned alike, so that the covariances commute: sum of (s - s')^2.
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    s, t = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.1, 0.5])
    a = _with_moments(np.array([0.0, 1.0, 2.0]), turn * s)
    b = _with_moments(np.array([1.0, 1.0, 0.0]), turn * t, seed=2)
    assert np.isclose(fid.frechet_distance(a, b), 1 + 4 + np.sum((s - t) ** 2))
    assert np.isclose(fid.frechet_distance(a, a), 0, atol=1e-8)


def test_what_is_compared_has_one_number_of_samples():
    """A distribution's distance from itself is the more, the fewer they are."""
    draw = np.random.default_rng(7).normal(size=(3000, 20))
    train, held_out, fake = draw[:1500], draw[1500:1800], draw[1800:]
    found = fid.comparisons(train, held_out, fake, fid.frechet_distance)
    assert found.keys() == {"", "_held_out", "_floor"}
    assert found["_floor"] == fid.frechet_distance(train[:300], held_out)
    assert found["_held_out"] == fid.frechet_distance(held_out, fake[:300])
    assert max(found.values()) < 1.4 * min(found.values())
    unequal = fid.frechet_distance(train, fake)
    assert found["_floor"] > 2 * unequal, "which had been printed side by side"


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


def test_kernel_distance_is_zero_in_the_mean_for_equal_distributions():
    generator = np.random.default_rng(4)
    draw = [generator.normal(size=(2000, 5)) for _ in range(2)]
    shifted = draw[1] + 1
    same, other = (fid.kernel_distance(draw[0], x) for x in (draw[1], shifted))
    assert abs(same) < 0.02 < 0.5 < other


def test_kernel_distance_as_pairs_say_it():
    generator = np.random.default_rng(5)
    x, y = generator.normal(size=(2, 6, 3))

    def kernel(a, b):
        return (np.dot(a, b) / 3 + 1) ** 3

    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    direct = np.mean([kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs])
    direct -= 2 * np.mean([kernel(a, b) for a in x for b in y])
    assert np.isclose(fid.kernel_distance(x, y, subsets=1), direct)


def test_precision_sees_what_is_false_and_recall_what_is_missing():
    generator = np.random.default_rng(6)
    left, right = generator.normal(size=(2, 500, 2)) * 0.1
    right += 10
    both = np.concatenate([left, right])
    precision, recall = fid.precision_recall(both, left[::-1])
    assert precision == 1 and np.isclose(recall, 0.5, atol=0.01), "half is missing"
    precision, recall = fid.precision_recall(left, both)
    assert np.isclose(precision, 0.5, atol=0.01) and recall == 1, "half is false"
