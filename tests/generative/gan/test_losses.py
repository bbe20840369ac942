"""Losses against their gradients written by hand; mixtures of several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.generative.gan import losses as adversarial
from dlx.generative.gan.losses import LOSSES

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


@pytest.mark.parametrize(
    "losses", [[1.0, 2.0, 4.0], [-1.1, -0.7, -0.9], [-2.0, 0.0, 1e-4], [0.0, 0.0, 0.0]]
)
def test_hypervolume_weighs_the_harshest_most_whatever_the_sign(losses):
    """Its gradients are 1 / (nadir - loss): positive, the largest loss's largest."""
    losses = np.array(losses, "f4")
    value, grads = jax.value_and_grad(
        lambda x: adversarial.mix(x, "hypervolume", jnp.float32(1))
    )(losses)
    nadir = losses.max() + 0.1 * np.abs(losses).max() + 1e-3
    np.testing.assert_allclose(value, -np.sum(np.log(nadir - losses)), rtol=1e-3)
    np.testing.assert_allclose(grads, 1 / (nadir - losses), rtol=1e-2)
    assert np.all(grads > 0) and grads[losses.argmax()] == grads.max()


SIGNS = {"either": 1.0, "large": 40.0, "above": 3.0, "below": -3.0}


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("rule", adversarial.RULES)
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_rule_and_penalty_is_finite_with_finite_gradients(name, rule, signs):
    loss, scale = LOSSES[name], SIGNS[signs]
    x_key, w_key = jax.random.split(jax.random.key(0))
    real, fake = scale * jax.random.normal(x_key, (2, 3, 4, 5))
    w = jax.random.normal(w_key, (3, 5))
    if signs in ("above", "below"):  # all logits on one side of 0
        real, fake, w = (jnp.sign(scale) * jnp.abs(real), jnp.abs(fake), jnp.abs(w))
        fake *= jnp.sign(scale)

    def logits(w, x):
        h = jnp.einsum("nbp,np->nb", x, w)
        return h + 0.1 * jnp.sin(h)  # not linear, so that penalties have gradients

    def discriminators(w):
        smoothing = S if loss.smooths else 0.0
        losses = loss.discriminator(logits(w, real), logits(w, fake), smoothing)
        penalties = (
            adversarial.gradient_penalty(lambda x: logits(w, x), x)
            for x in (real, fake)
        )
        return jnp.sum(jnp.mean(losses, axis=1)) + sum(penalties)

    def generator(fake, strength):
        losses = jnp.mean(loss.generator(logits(w, real), logits(w, fake)), axis=1)
        return adversarial.mix(losses, rule, strength)

    theirs = jax.value_and_grad(discriminators)(w)
    ours = jax.value_and_grad(generator, (0, 1))(fake, jnp.float32(1))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((theirs, ours)))
    assert np.any(theirs[1] != 0) and (np.any(ours[1][0] != 0) or scale == 40)


def test_a_learnt_lambda_falls_where_the_harshest_weighs_more_than_the_bonus():
    slope = jax.grad(lambda s: adversarial.mix(jnp.array([0.0, 1.0]), "learnt", s))
    assert slope(jnp.float32(0.0)) > 0, "a smaller lambda makes the loss smaller"
    alike = jax.grad(lambda s: adversarial.mix(jnp.array([1.0, 1.0]), "learnt", s))
    assert np.isclose(alike(jnp.float32(0.0)), -1e-3), "only the bonus is left"
