"""GAN losses, gradient penalties, and rules for combining several discriminators.

A loss takes the logits of real and of generated images, [batch] each, and returns the
loss of each pair, [batch].
"""

from collections.abc import Callable
import dataclasses

import jax
from jax import lax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Loss:
    """The losses of the discriminator and of the generator.

    Attributes:
      discriminator: (real, fake, smoothing) -> [batch]. The target of real images is 1
        - smoothing (Salimans et al. 2016, section 3.4).
      generator: (real, fake) -> [batch].
      smooths: Whether the discriminator's loss has a target that can be smoothed.
      threshold: An image is classified as real if its logit is above this threshold.
        None, for losses that only compare logits, means half way between the mean
        logits of real and of generated images.
    """

    discriminator: Callable[[jax.Array, jax.Array, float], jax.Array]
    generator: Callable[[jax.Array, jax.Array], jax.Array]
    smooths: bool = False
    threshold: float | None = 0.0

    def accuracy(self, real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Percentages of real and of generated images that are classified correctly.

        Args:
          real: [discriminators, batch] float32. Logits of real images.
          fake: [discriminators, batch] float32. Logits of generated images.
        """
        threshold = self.threshold
        if threshold is None:
            means = jnp.mean(real, axis=1) + jnp.mean(fake, axis=1)
            threshold = means[:, None] / 2
        return 100 * jnp.mean(real > threshold), 100 * jnp.mean(fake < threshold)


def _cross_entropy(real, fake, smoothing):
    """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1)."""
    # This equals (1 - s) softplus(-r) + s softplus(r), as the two differ by r.
    return jax.nn.softplus(-real) + smoothing * real + jax.nn.softplus(fake)


LOSSES = {
    # Goodfellow et al. (2014), eq. 1: the generator minimises log(1 - D(G(z))).
    "minimax": Loss(_cross_entropy, lambda real, fake: -jax.nn.softplus(fake), True),
    # Goodfellow et al. (2014), section 3: the generator maximises log D(G(z)).
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

    The penalty is called R1 on real images and R2 on generated images.

    Args:
      logits: images -> [discriminators, batch].
      images: [discriminators, batch, ...]. The images of each discriminator.

    Returns:
      [] float32.
    """
    grads = jax.grad(lambda x: jnp.sum(logits(x)))(images)
    return 0.5 * jnp.sum(grads**2) / images.shape[1]


RULES = "mean", "max", "softmax", "learnt", "hypervolume"
_LAMBDA_GAIN = 1e-3
_SLACK = 0.1


def mix(losses: jax.Array, rule: str, strength: jax.Array) -> jax.Array:
    """Combines the generator's losses against several discriminators into one.

    Durugkar, Gemp and Mahadevan (2017), section 4, have the mean ('mean'), the largest
    loss ('max'), and the mean weighted by softmax(lambda losses), whose lambda is given
    ('softmax') or learnt with a bonus for large values ('learnt'). 'hypervolume' is
    eq. 4 of Albuquerque et al. (2019). Their nadir is delta times the largest loss,
    which is above that loss only if it is positive. Here the nadir is above the largest
    loss by a tenth of the largest magnitude among the losses. For positive losses this
    equals theirs with delta = 1.1; it is valid for losses of any sign.

    Args:
      losses: [discriminators] float32. The generator's loss against each.
      rule: One of RULES.
      strength: [] float32. Lambda.

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
