"""What generators and discriminators play for.

Losses are of logits, [batch], of real images and of generated ones, paired one to one;
they give one number for each pair, [batch], to be made small.
"""

from collections.abc import Callable
import dataclasses

import jax
from jax import lax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Loss:
    """A game's two sides.

    Attributes:
      discriminator: (real, fake, smoothing) -> [batch]. Smoothing is how far below 1
        real images' target lies (Salimans et al. 2016, section 3.4).
      generator: (real, fake) -> [batch].
      smooths: Whether there is a target, so that smoothing means something.
      threshold: Of logits, above which an image is taken for real; None for half way
        between the means of both kinds, where a logit alone means nothing.
    """

    discriminator: Callable[[jax.Array, jax.Array, float], jax.Array]
    generator: Callable[[jax.Array, jax.Array], jax.Array]
    smooths: bool = False
    threshold: float | None = 0.0

    def accuracy(self, real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Percent of real and of generated images that are taken for what they are.

        Args:
          real: [discriminators, batch] logits.
          fake: [discriminators, batch] logits.
        """
        threshold = self.threshold
        if threshold is None:
            means = jnp.mean(real, axis=1) + jnp.mean(fake, axis=1)
            threshold = means[:, None] / 2
        return 100 * jnp.mean(real > threshold), 100 * jnp.mean(fake < threshold)


def _cross_entropy(real, fake, smoothing):
    """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1)."""
    # (1 - s) softplus(-r) + s softplus(r), the two of which differ by r.
    return jax.nn.softplus(-real) + smoothing * real + jax.nn.softplus(fake)


LOSSES = {
    # Goodfellow et al. (2014), eq. 1: the generator minimises log(1 - D(G(z))).
    "minimax": Loss(_cross_entropy, lambda real, fake: -jax.nn.softplus(fake), True),
    # There, section 3: it maximises log D(G(z)).
    "non_saturating": Loss(
        _cross_entropy, lambda real, fake: jax.nn.softplus(-fake), True
    ),
    # Mao et al. (2017), eq. 9.
    "least_squares": Loss(
        lambda real, fake, s: 0.5 * (real - (1 - s)) ** 2 + 0.5 * fake**2,
        lambda real, fake: 0.5 * (fake - 1) ** 2,
        True,
        threshold=0.5,
    ),
    # Lim and Ye (2017), eq. 5 and 6.
    "hinge": Loss(
        lambda real, fake, s: jax.nn.relu(1 - real) + jax.nn.relu(1 + fake),
        lambda real, fake: -fake,
    ),
    # Jolicoeur-Martineau (2019); Huang et al. (2024), eq. 2.
    "relativistic": Loss(
        lambda real, fake, s: jax.nn.softplus(fake - real),
        lambda real, fake: jax.nn.softplus(real - fake),
        threshold=None,
    ),
}


def gradient_penalty(
    logits: Callable[[jax.Array], jax.Array], images: jax.Array
) -> jax.Array:
    """1/2 E |grad D|^2, summed over discriminators (Mescheder et al. 2018, eq. 9).

    R1 on real images, R2 on generated ones.

    Args:
      logits: images -> [discriminators, batch].
      images: [discriminators, batch, ...], each seen by one discriminator alone.

    Returns:
      [] float32.
    """
    grads = jax.grad(lambda x: jnp.sum(logits(x)))(images)
    return 0.5 * jnp.sum(grads**2) / images.shape[1]


RULES = "mean", "max", "softmax", "learnt", "hypervolume"
_LAMBDA_GAIN = 1e-3
_SLACK = 0.1


def mix(losses: jax.Array, rule: str, strength: jax.Array) -> jax.Array:
    """What a generator makes small that plays against several discriminators.

    Durugkar, Gemp and Mahadevan (2017), section 4: the mean; the harshest's; or the
    mean weighted by softmax(lambda losses), lambda being given, or learnt with a bonus
    for being large. 'hypervolume' is Albuquerque et al. (2019), eq. 4. Its nadir, which
    they have at delta times the largest loss, is above it only where that is positive;
    here it is above by a tenth of the largest magnitude among the losses, which for
    positive losses is theirs with delta = 1.1 and is right for losses of any sign.

    Args:
      losses: [discriminators], the generator's against each.
      rule: One of RULES.
      strength: [] float32, lambda.

    Returns:
      [] float32.
    """
    if rule == "mean":
        return jnp.mean(losses)
    if rule == "max":
        return jnp.max(losses)
    if rule == "hypervolume":
        slack = _SLACK * jnp.max(jnp.abs(losses)) + 1e-3
        nadir = lax.stop_gradient(jnp.max(losses) + slack)
        return -jnp.sum(jnp.log(nadir - losses))
    mixed = jnp.sum(jax.nn.softmax(strength * losses) * losses)
    return mixed - _LAMBDA_GAIN * strength if rule == "learnt" else mixed
