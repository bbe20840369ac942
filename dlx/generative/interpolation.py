"""Linear and spherical interpolation of latent vectors."""

import jax
import jax.numpy as jnp


def linear(a: jax.Array, b: jax.Array, weights: jax.Array) -> jax.Array:
    """(1 - w) a + w b: vectors [latents], weights [steps] -> [steps, latents]."""
    w = weights[:, None]
    return (1 - w) * a[None] + w * b[None]


def spherical(a: jax.Array, b: jax.Array, weights: jax.Array) -> jax.Array:
    """Interpolates along a circle around the origin (Shoemake 1985, section 3.3).

    Shapes are those of `linear`. If `a` and `b` lie on one line with the origin, the
    result is that of `linear`.
    """
    lengths = jnp.linalg.norm(a) * jnp.linalg.norm(b)
    angle = jnp.arccos(jnp.clip(jnp.dot(a, b) / jnp.maximum(lengths, 1e-12), -1, 1))
    sine, w = jnp.sin(angle), weights[:, None]
    arc = jnp.sin((1 - w) * angle) * a[None] + jnp.sin(w * angle) * b[None]
    collinear = (jnp.abs(sine) < 1e-3) | (lengths < 1e-12)
    return jnp.where(
        collinear, linear(a, b, weights), arc / jnp.where(collinear, 1.0, sine)
    )
