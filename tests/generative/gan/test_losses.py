"""Losses against gradients by hand; combinations of several discriminators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.generative.gan import losses
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

    grads = jax.grad(discriminator, (0, 1))(REAL, FAKE)
    np.testing.assert_allclose(grads[0], real, atol=1e-6)
    np.testing.assert_allclose(grads[1], fake, atol=1e-6)
    grads = jax.grad(lambda fake: jnp.sum(loss.generator(REAL, fake)))(FAKE)
    np.testing.assert_allclose(grads, generators, atol=1e-6)


def test_accuracy_counts_logits_on_the_right_side_of_the_threshold():
    real, fake = jnp.array([[0.6, 0.2], [9.0, 8.0]]), jnp.array([[0.4, -1], [7, 8.9]])
    assert LOSSES["hinge"].accuracy(real, fake) == (100, 25)
    assert LOSSES["least_squares"].accuracy(real, fake) == (75, 50)
    # The discriminators' thresholds are 0.05 and 8.225.
    assert LOSSES["relativistic"].accuracy(real, fake) == (75, 50)


def test_the_penalty_of_linear_discriminators_is_half_their_squared_length():
    w = jnp.array([[1.0, 2.0, 2.0], [0.0, 3.0, 4.0]])
    images = jax.random.normal(jax.random.key(0), (2, 5, 3))

    def logits(x):
        return jnp.einsum("nbp,np->nb", x, w)

    penalty = losses.gradient_penalty(logits, images)
    assert np.isclose(penalty, 0.5 * (9 + 25))


def test_combinations_of_losses():
    each, strength = jnp.array([1.0, 2.0, 4.0]), jnp.float32(0.5)

    def mix(rule, strength=strength):
        return float(losses.mix(each, rule, strength))

    assert np.isclose(mix("mean"), 7 / 3) and mix("max") == 4
    weights = np.exp([0.5, 1.0, 2.0])
    softmax = weights @ np.asarray(each) / weights.sum()
    assert np.isclose(mix("softmax"), softmax)
    assert np.isclose(mix("learnt"), softmax - 0.5e-3)
    assert np.isclose(mix("softmax", jnp.float32(0.0)), mix("mean"))
    assert np.isclose(mix("softmax", jnp.float32(100.0)), mix("max"))
    nadir = 4.4 + 1e-3
    direct = -np.sum(np.log(nadir - np.asarray(each)))
    assert np.isclose(mix("hypervolume"), direct)


@pytest.mark.parametrize(
    "each", [[1.0, 2.0, 4.0], [-1.1, -0.7, -0.9], [-2.0, 0.0, 1e-4], [0.0, 0.0, 0.0]]
)
def test_hypervolume_weighs_the_largest_loss_most_for_any_sign(each):
    """Its gradients are 1 / (nadir - loss): positive, the largest loss's largest."""
    each = np.array(each, "f4")
    value, grads = jax.value_and_grad(
        lambda x: losses.mix(x, "hypervolume", jnp.float32(1))
    )(each)
    nadir = each.max() + 0.1 * np.abs(each).max() + 1e-3
    np.testing.assert_allclose(value, -np.sum(np.log(nadir - each)), rtol=1e-3)
    np.testing.assert_allclose(grads, 1 / (nadir - each), rtol=1e-2)
    assert np.all(grads > 0) and grads[each.argmax()] == grads.max()


SIGNS = {"either": 1.0, "large": 40.0, "above": 3.0, "below": -3.0}


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("rule", losses.RULES)
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
        return h + 0.1 * jnp.sin(h)  # not linear, which gives penalties gradients

    def discriminators(w):
        smoothing = S if loss.smooths else 0.0
        each = loss.discriminator(logits(w, real), logits(w, fake), smoothing)
        penalties = (
            losses.gradient_penalty(lambda x: logits(w, x), x) for x in (real, fake)
        )
        return jnp.sum(jnp.mean(each, axis=1)) + sum(penalties)

    def generator(fake, strength):
        each = jnp.mean(loss.generator(logits(w, real), logits(w, fake)), axis=1)
        return losses.mix(each, rule, strength)

    d = jax.value_and_grad(discriminators)(w)
    g = jax.value_and_grad(generator, (0, 1))(fake, jnp.float32(1))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((d, g)))
    assert np.any(d[1] != 0) and (np.any(g[1][0] != 0) or scale == 40)


def test_a_learnt_lambda_falls_if_the_largest_loss_outweighs_the_bonus():
    slope = jax.grad(lambda s: losses.mix(jnp.array([0.0, 1.0]), "learnt", s))
    assert slope(jnp.float32(0.0)) > 0, "a smaller lambda makes the loss smaller"
    equal = jax.grad(lambda s: losses.mix(jnp.array([1.0, 1.0]), "learnt", s))
    assert np.isclose(equal(jnp.float32(0.0)), -1e-3), "only the bonus is left"
