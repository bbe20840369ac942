"""Bounds against closed forms and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.generative.measures import likelihood


def test_kl_equals_a_monte_carlo_estimate():
    mean, log_std = jnp.array([0.5, -1.0, 0.0]), jnp.array([-0.7, 0.3, 0.0])
    noise = jax.random.normal(jax.random.key(0), (200_000, 3))
    z = mean[None] + jnp.exp(log_std)[None] * noise
    log_ratio = likelihood.normal_log_prob(
        z, mean[None], log_std[None]
    ) - likelihood.normal_log_prob(z)
    closed = float(jnp.sum(likelihood.kl_to_standard_normal(mean, log_std)))
    error = float(jnp.std(log_ratio)) / np.sqrt(len(z))
    assert abs(closed - float(jnp.mean(log_ratio))) < 5 * error
    assert likelihood.kl_to_standard_normal(mean, log_std)[2] == 0


def test_bernoulli_by_hand():
    x = jnp.array([[[1.0, 0.0]], [[0.0, 0.0]]])
    logits = jnp.log(jnp.array([[[[4.0, 1.0]], [[1.0, 1 / 3]]]]))  # p .8 .5, .5 .25
    log_p = likelihood.bernoulli_log_prob(x, logits)
    assert log_p.shape == (1, 2)
    np.testing.assert_allclose(log_p[0], np.log([0.8 * 0.5, 0.5 * 0.75]), rtol=1e-6)


class LinearGaussian:
    """z ~ N(0, 1); x ~ N(W z, s^2): p(x) = N(0, W W^T + s^2), in closed form."""

    def __init__(self, pixels=6, latents=2, s=0.7):
        generator = np.random.default_rng(0)
        self.w = generator.normal(size=(pixels, latents)).astype("f4")
        self.s = s
        z = generator.normal(size=(57, latents))
        noise = generator.normal(size=(57, pixels))
        self.x = (z @ self.w.T + s * noise).astype("f4")
        # The true posterior, from which q differs a little.
        precision = np.eye(latents) + self.w.T @ self.w / s**2
        self.posterior_mean = np.linalg.solve(precision, self.w.T / s**2).astype("f4")
        self.log_std = np.float32(-0.5 * np.log(np.diag(precision)) + 0.2)

    def log_weights(self, params, key, x, samples):
        del params
        mean = (x @ self.posterior_mean.T + 0.1)[None]
        noise = jax.random.normal(key, (samples, len(x), self.w.shape[1]))
        log_std = jnp.asarray(self.log_std)[None, None]
        z = mean + jnp.exp(log_std) * noise
        fit = likelihood.normal_log_prob(x[None], z @ self.w.T, np.log(self.s))
        posterior = likelihood.normal_log_prob(z, mean, log_std)
        return fit + likelihood.normal_log_prob(z) - posterior

    def exact(self):
        covariance = self.w @ self.w.T + self.s**2 * np.eye(len(self.w))
        _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
        mahalanobis = np.sum(self.x * np.linalg.solve(covariance, self.x.T).T, axis=1)
        return -0.5 * (log_det + mahalanobis)


@pytest.mark.parametrize(("batch", "samples"), [(10, 5000), (57, 4999), (100, 5000)])
def test_the_bound_of_many_samples_is_the_likelihood(batch, samples):
    """Holds for any number of images and samples in memory."""
    model = LinearGaussian()
    bounds = likelihood.log_likelihood(
        model.log_weights, None, model.x, jax.random.key(0), samples, batch=batch
    )
    assert bounds.shape == (57,)
    np.testing.assert_allclose(bounds, model.exact(), atol=0.05)
    assert abs(np.mean(bounds - model.exact())) < 0.01


def test_the_bound_grows_with_the_samples():
    model = LinearGaussian()
    x = jnp.asarray(model.x)

    def bound(samples):
        keys = jax.random.split(jax.random.key(samples), 500)

        def one(key):
            return jnp.mean(
                likelihood.importance_bound(model.log_weights(None, key, x, samples))
            )

        return float(jnp.mean(jax.vmap(one)(keys)))

    bounds = [bound(samples) for samples in (1, 5, 50)]
    exact = float(np.mean(model.exact()))
    assert bounds[0] + 0.05 < bounds[1] < bounds[2] - 0.005
    assert bounds[2] < exact + 0.005


def test_the_bound_of_one_sample_is_its_log_weight():
    log_weights = jax.random.normal(jax.random.key(0), (1, 5))
    np.testing.assert_allclose(
        likelihood.importance_bound(log_weights), log_weights[0], rtol=1e-6
    )


def test_active_units():
    means = np.random.default_rng(0).normal(size=(1000, 4)) * [1.0, 0.05, 0.2, 0.0]
    assert likelihood.active_units(means) == 2
