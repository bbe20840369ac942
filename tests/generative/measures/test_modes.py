"""Mode coverage, entropy and pairwise distance, by hand."""

import numpy as np

from dlx.generative.measures import modes


def test_coverage_and_entropy_by_hand():
    labels = np.array([0, 0, 0, 0, 2, 2, 2, 2, 3, 3, 3, 3])  # two of five are missing
    shares = modes.shares(labels, 5)
    np.testing.assert_allclose(shares, [1 / 3, 0, 1 / 3, 1 / 3, 0])
    assert modes.covered(shares) == 3
    assert np.isclose(modes.entropy(shares), np.log(3))
    assert np.isclose(modes.kl_to_uniform(shares), np.log(5 / 3))


def test_the_divergence_is_the_sum_of_p_log_p_over_q():
    labels = np.random.default_rng(0).integers(0, 7, 1000) // 2
    shares = modes.shares(labels, 4)
    direct = sum(p * np.log(p / 0.25) for p in shares)
    assert np.isclose(modes.kl_to_uniform(shares), direct)


def test_equal_images_have_no_distance():
    one = np.random.default_rng(0).random((1, 8, 8, 1))
    assert modes.pairwise_distance(np.repeat(one, 100, axis=0)) == 0
    two = np.concatenate([np.zeros((50, 8, 8, 1)), np.full((50, 8, 8, 1), 0.5)])
    assert np.isclose(modes.pairwise_distance(two), 0.5), "unequal pairs"
