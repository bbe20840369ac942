"""The two players of a GAN: their networks, and the loss of each."""

import math

import jax
from jax import lax
import jax.numpy as jnp

from dlx.errors import UserError, user_error_in
from dlx.generative.gan import losses, networks
from dlx.generative.gan.config import is_recurrent
from dlx.generative.gan.inputs import DiscriminatorInputs
from dlx.generative.language.networks import Recurrent
from dlx.generative.language.task import trained
from dlx.generative.modalities import Modality
from dlx.runtime import devices


def latents(config, modality: Modality) -> int:
    """The number of latent dimensions; a recurrent generator needs one per logit."""
    return math.prod(modality.shape) if is_recurrent(config) else config.latents


def make_networks(
    config, modality: Modality
) -> tuple[networks.Generator | Recurrent, networks.Discriminators]:
    """Makes the generator and the discriminators.

    Raises:
      UserError: if the config's layers are invalid or do not fit the examples' shape.
    """
    num_classes = modality.num_classes if config.conditional else 0
    with user_error_in("config"):
        if is_recurrent(config):
            widths = tuple(config.g_channels)
            generator = Recurrent(modality.shape, widths, config.temperature)
        else:
            generator = networks.make_generator(
                modality.shape,
                channels=config.g_channels,
                kernel=config.g_kernel,
                factor=config.factor,
                output=modality.output,
                temperature=config.temperature,
                num_classes=num_classes,
                axis_name=devices.AXIS,
                dtype=jnp.dtype(config.get("dtype", "float32")),
            )
        discriminators = networks.make_discriminators(
            channels=config.d_channels,
            kernel=config.d_kernel,
            factor=config.factor,
            features=config.d_features,
            norm=config.d_norm,
            minibatch_std=config.minibatch_std,
            num_classes=num_classes,
            axis_name=devices.AXIS,
            dtype=jnp.dtype(config.get("dtype", "float32")),
        )
    return generator, discriminators


def generator_variables(params, stats):
    """Returns the generator's variables under Flax's names."""
    return {
        "params": params["generator"]["network"],
        "batch_stats": stats["generator"],
    }


class Game:
    """A generator, its discriminators, and both players' losses.

    `params` and `stats` have the structure of State.params and State.batch_stats. Some
    methods take one player's part of them; their arguments say which.

    Attributes:
      generator: The generator's module.
      discriminators: The discriminators' module.
    """

    def __init__(self, config, modality: Modality):
        """Makes the networks. Raises UserError if the config's layers are invalid."""
        self.generator, self.discriminators = make_networks(config, modality)
        self._config, self._latents = config, latents(config, modality)
        self._loss = losses.LOSSES[config.loss]
        self._inputs = DiscriminatorInputs(config, modality.shape[-1])
        self._dropout = jnp.asarray(config.dropout, jnp.float32)
        self._shape = modality.shape
        pretrained = config.get("pretrained")
        self._pretrained = trained(pretrained) if pretrained else None

    def init(self, key):
        """Returns the initial params and stats of both players."""
        g_key, d_key, inputs_key = jax.random.split(key, 3)
        batch = self._config.packing * len(self._config.d_channels)
        x, labels = jnp.zeros((batch, *self._shape)), jnp.zeros(batch, jnp.int32)
        z = jnp.zeros((batch, self._latents))
        generator = self.generator.init(g_key, z, labels, train=False)
        inputs = self._inputs(inputs_key, x, labels, 0.0)
        discriminators = self.discriminators.init(d_key, *inputs, self._dropout)
        strength = jnp.float32(1.0)
        params = {
            "generator": {
                "network": self._begin(generator["params"]),
                "strength": strength,
            },
            "discriminators": discriminators["params"],
        }
        stats = {
            "generator": generator.get("batch_stats", {}),
            "discriminators": discriminators.get("batch_stats", {}),
        }
        return params, stats

    def _begin(self, fresh):
        """The generator's first parameters: those of `config.pretrained`, or fresh."""
        if self._pretrained is None:
            return fresh
        shapes, others = (jax.tree.map(jnp.shape, x) for x in (fresh, self._pretrained))
        if shapes != others:
            raise UserError(
                f"config.pretrained={self._config.pretrained} does not fit the "
                "generator; use g_network='recurrent' with its widths as g_channels"
            )
        return self._pretrained

    def generate(self, params, stats, key, labels):
        """Generates a batch in training mode.

        Args:
          params: The generator's parameters.
          stats: The generator's stats.
          key: The key of the latent vectors and of the Gumbel noise.
          labels: [batch] integers.

        Returns:
          [batch, height, width, channels] float32, and the generator's new stats.
        """
        z_key, gumbel_key = jax.random.split(key)
        images, new = self.generator.apply(
            {"params": params["network"], "batch_stats": stats},
            jax.random.normal(z_key, (len(labels), self._latents)),
            labels,
            train=True,
            rngs={"gumbel": gumbel_key},
            mutable=["batch_stats"],
        )
        return images, new.get("batch_stats", {})

    def discriminate(self, params, stats, key, inputs, labels):
        """Runs the discriminators with their params and stats.

        Returns:
          [discriminators, batch] logits, and the discriminators' new stats.
        """
        logits, new = self.discriminators.apply(
            {"params": params, "batch_stats": stats},
            inputs,
            labels,
            self._dropout,
            rngs={"dropout": key} if any(self._config.dropout) else {},
            mutable=["batch_stats"],
        )
        return logits, new.get("batch_stats", {})

    def discriminators_loss(self, params, stats, key, real, fake, labels, noise):
        """Computes the sum of the discriminators' losses, and its gradient penalties.

        Each discriminator's parameters influence only its own term of the sum.

        Args:
          params: The discriminators' parameters.
          stats: The discriminators' stats.
          key: The key of augmentation, instance noise and dropout.
          real: [batch, height, width, channels] float32.
          fake: [batch, height, width, channels] float32.
          labels: [batch] integers, of the real and of the fake examples.
          noise: [] float32. Standard deviation of the instance noise.

        Returns:
          [] float32, and a pair of the discriminators' new stats and the metrics.
        """
        config = self._config
        keys = jax.random.split(key, 6)
        real, real_labels = self._inputs(keys[0], real, labels, noise)
        fake, fake_labels = self._inputs(keys[1], fake, labels, noise)
        real_logits, new = self.discriminate(params, stats, keys[2], real, real_labels)
        fake_logits, _ = self.discriminate(params, stats, keys[3], fake, fake_labels)
        each = self._loss.discriminator(real_logits, fake_logits, config.smoothing)
        total = jnp.sum(jnp.mean(each, axis=1))
        if config.r1:
            total += config.r1 * self._penalty(
                params, stats, keys[4], real, real_labels
            )
        if config.r2:
            total += config.r2 * self._penalty(
                params, stats, keys[5], fake, fake_labels
            )
        accuracy = self._loss.accuracy(real_logits, fake_logits)
        metrics = {
            "loss": jnp.mean(each),
            "accuracy_real": accuracy[0],
            "accuracy_fake": accuracy[1],
        }
        return total, (new, metrics)

    def _penalty(self, params, stats, key, inputs, labels):
        def logits(x):
            return self.discriminate(params, stats, key, x, labels)[0]

        return losses.gradient_penalty(logits, inputs)

    def generator_loss(self, params, stats, d_params, key, real, labels, noise):
        """Computes the generator's loss against all discriminators.

        Args:
          params: The generator's parameters.
          stats: Both players' stats.
          d_params: The discriminators' parameters.
          key: The key of latent vectors, augmentation, instance noise and dropout.
          real: [batch, height, width, channels] float32, for relativistic losses.
          labels: [batch] integers, of the real and of the generated examples.
          noise: [] float32. Standard deviation of the instance noise.

        Returns:
          [] float32, and a pair of the generator's new stats and the metrics.
        """
        config = self._config
        keys = jax.random.split(key, 5)
        fake, new = self.generate(params, stats["generator"], keys[0], labels)
        d_variables = d_params, stats["discriminators"]
        inputs = self._inputs(keys[1], real, labels, noise)
        real_logits, _ = self.discriminate(*d_variables, keys[2], *inputs)
        inputs = self._inputs(keys[3], fake, labels, noise)
        fake_logits, _ = self.discriminate(*d_variables, keys[4], *inputs)
        each = jnp.mean(self._loss.generator(real_logits, fake_logits), axis=1)
        # The mean over all devices: the rules combine losses of a whole batch.
        each = lax.pmean(each, devices.AXIS)
        strength = jnp.float32(config.mixing_strength)
        if config.mixing == "learnt":
            strength = jax.nn.softplus(params["strength"])
        total = losses.mix(each, config.mixing, strength)
        half = len(fake) // 2
        squared = jnp.mean((fake[:half] - fake[half : 2 * half]) ** 2)
        return total, (new, {"g_loss": total, "distance": jnp.sqrt(squared) / 2})
