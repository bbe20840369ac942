"""Paths, solvers and guidance where the velocity is known in closed form."""

import math
import statistics

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.generative.flow import paths

MEAN, STD = 0.7, 0.2


def _normal(x, time):
    """The velocity if data are N(mean, std^2): E[x - noise | x_t]."""
    t = time[:, None, None, None]
    variance = t**2 * STD**2 + (1 - t) ** 2
    return MEAN + (t * STD**2 - (1 - t)) / variance * (x - t * MEAN)


def _numbers(shape=(4000, 1, 1, 1), seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("solver", paths.SOLVERS)
def test_solvers_reach_the_data_at_their_order(solver):
    """The flow from N(0, 1) to N(mean, std^2) is mean + std noise."""
    noise = _numbers((50, 1, 1, 1))

    def error(steps):
        path = paths.solve(_normal, noise, solver, steps)
        assert path.shape == (steps + 1, *noise.shape)
        np.testing.assert_array_equal(path[0], noise)
        return float(jnp.max(jnp.abs(path[-1] - (MEAN + STD * noise))))

    order = np.log2(error(32) / error(64))
    expected = {"euler": 1, "heun": 2}[solver]
    assert abs(order - expected) < 0.35


def test_the_loss_is_least_at_the_true_velocity():
    noise, x = _numbers(), MEAN + STD * _numbers(seed=1)
    time = paths.times(jax.random.key(2), len(x))
    least = paths.loss(_normal, x, noise, time)
    for wrong in (0.1, -0.1):
        more = paths.loss(lambda x, t, w=wrong: _normal(x, t) + w, x, noise, time)
        np.testing.assert_allclose(more - least, 0.01, atol=3e-3)
    # Of a single point all paths are straight, and known exactly.
    point = jnp.full_like(noise, MEAN)

    def to_point(x, time):
        return (MEAN - x) / (1 - time)[:, None, None, None]

    early = 0.9 * time  # 1 - t is small near the end
    np.testing.assert_allclose(paths.loss(to_point, point, noise, early), 0, atol=1e-8)


def test_times_are_logit_normal_with_even_quantiles():
    def quantile(time):
        return statistics.NormalDist().cdf(math.log(time / (1 - time)))

    quantiles = sorted(map(quantile, paths.times(jax.random.key(0), 10).tolist()))
    np.testing.assert_allclose(np.diff(quantiles), 0.1, atol=1e-5)
    firsts = [
        quantile(float(paths.times(jax.random.key(seed), 1)[0])) for seed in range(200)
    ]
    assert abs(np.mean(firsts) - 0.5) < 0.08 and np.std(firsts) > 0.25


def test_guidance_is_linear_in_its_scale():
    with_label, without = jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])
    for scale, expected in ((0, [0, 4]), (1, [1, 2]), (3, [3, -2])):
        np.testing.assert_allclose(
            paths.guided(with_label, without, scale), expected, atol=1e-6
        )
