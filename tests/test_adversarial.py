"""Losses against their gradients written by hand; mixtures of several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import adversarial
from dlx.adversarial import LOSSES

REAL = jnp.array([-2.0, -0.3, 0.4, 3.0])
FAKE = jnp.array([0.7, -1.5, 2.0, -0.1])


def _s(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


S = 0.1  # smoothing
BY_HAND = {  # d discriminator's loss / d real, d fake; d generator's loss / d fake
    "minimax": (_s(REAL) - 1 + S, _s(FAKE), -_s(FAKE)),
    "non_saturating": (_s(REAL) - 1 + S, _s(FAKE), _s(FAKE) - 1),
    "least_squares": (REAL - 1 + S, FAKE, FAKE - 1),
    "hinge": (np.where(REAL < 1, -1, 0), np.where(FAKE > -1, 1, 0), -np.ones(4)),
    "relativistic": (-_s(FAKE - REAL), _s(FAKE - REAL), -_s(REAL - FAKE)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_by_hand(name):
    loss = LOSSES[name]
    real, fake, generators = BY_HAND[name]

    def discriminator(real, fake):
        return jnp.sum(loss.discriminator(real, fake, S if loss.smooths else 0.0))

    ours = jax.grad(discriminator, (0, 1))(REAL, FAKE)
    np.testing.assert_allclose(ours[0], real, atol=1e-6)
    np.testing.assert_allclose(ours[1], fake, atol=1e-6)
    ours = jax.grad(lambda fake: jnp.sum(loss.generator(REAL, fake)))(FAKE)
    np.testing.assert_allclose(ours, generators, atol=1e-6)


def test_what_is_on_the_right_side_is_right():
    real, fake = jnp.array([[0.6, 0.2], [9.0, 8.0]]), jnp.array([[0.4, -1], [7, 8.9]])
    assert LOSSES["hinge"].accuracy(real, fake) == (100, 25)
    assert LOSSES["least_squares"].accuracy(real, fake) == (75, 50)
    # The thresholds are 0.05 and 8.225, each discriminator's own.
    assert LOSSES["relativistic"].accuracy(real, fake) == (75, 50)


def test_the_penalty_of_linear_discriminators_is_half_their_squared_length():
    w = jnp.array([[1.0, 2.0, 2.0], [0.0, 3.0, 4.0]])
    images = jax.random.normal(jax.random.key(0), (2, 5, 3))

    def logits(x):
        return jnp.einsum("nbp,np->nb", x, w)

    penalty = adversarial.gradient_penalty(logits, images)
    assert np.isclose(penalty, 0.5 * (9 + 25))


def test_mixtures_of_losses():
    losses, strength = jnp.array([1.0, 2.0, 4.0]), jnp.float32(0.5)

    def mix(rule, strength=strength):
        return float(adversarial.mix(losses, rule, strength))

    assert np.isclose(mix("mean"), 7 / 3) and mix("max") == 4
    weights = np.exp([0.5, 1.0, 2.0])
    softmax = weights @ np.asarray(losses) / weights.sum()
    assert np.isclose(mix("softmax"), softmax)
    assert np.isclose(mix("learnt"), softmax - 0.5e-3)
    assert np.isclose(mix("softmax", jnp.float32(0.0)), mix("mean"))
    assert np.isclose(mix("softmax", jnp.float32(100.0)), mix("max"))
    nadir = 4.4 + 1e-3
    direct = -np.sum(np.log(nadir - np.asarray(losses)))
    assert np.isclose(mix("hypervolume"), direct)


def test_a_learnt_lambda_falls_where_the_harshest_weighs_more_than_the_bonus():
    slope = jax.grad(lambda s: adversarial.mix(jnp.array([0.0, 1.0]), "learnt", s))
    assert slope(jnp.float32(0.0)) > 0, "a smaller lambda makes the loss smaller"
    alike = jax.grad(lambda s: adversarial.mix(jnp.array([1.0, 1.0]), "learnt", s))
    assert np.isclose(alike(jnp.float32(0.0)), -1e-3), "only the bonus is left"
