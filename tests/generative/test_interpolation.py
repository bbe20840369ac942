"""Interpolation: its ends, its length, and collinear vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.generative import interpolation


@pytest.mark.parametrize("interpolate", [interpolation.linear, interpolation.spherical])
def test_the_ends_are_exact(interpolate):
    a, b = jax.random.normal(jax.random.key(0), (2, 5))
    path = interpolate(a, b, jnp.linspace(0, 1, 9))
    np.testing.assert_allclose(path[0], a, atol=1e-6)
    np.testing.assert_allclose(path[-1], b, atol=1e-6)


def test_spherical_interpolation_has_constant_length_and_speed():
    a, b = jnp.array([2.0, 0.0]), jnp.array([0.0, 2.0])
    path = interpolation.spherical(a, b, jnp.linspace(0, 1, 4))
    angles = np.arctan2(path[:, 1], path[:, 0])
    np.testing.assert_allclose(angles, np.linspace(0, np.pi / 2, 4), atol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(path, axis=1), 2.0, rtol=1e-6)


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.0])
def test_collinear_vectors_are_interpolated_linearly(factor):
    a, weights = jnp.array([1.0, 2.0]), jnp.linspace(0, 1, 5)
    path = interpolation.spherical(a, factor * a, weights)
    np.testing.assert_allclose(
        path, interpolation.linear(a, factor * a, weights), atol=1e-5
    )
