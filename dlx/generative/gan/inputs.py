"""Augmentation, noise, packing and per-discriminator inputs."""

import jax
import jax.numpy as jnp
import numpy as np

from dlx import streams
from dlx.data import augment
from dlx.models import layers

# config.d_inputs. 'same': every discriminator sees the whole batch; 'split': disjoint
# parts of the batch; 'projection': the batch after a fixed random convolution, another
# one for each; 'channels': the first sees all channels, each other one channel.
CHOICES = "same", "split", "projection", "channels"
AUGMENTATIONS = "flip", "translation", "cutout", "colour"


class DiscriminatorInputs:
    """Turns a batch of images into the inputs of all discriminators.

    Images are augmented (Zhao et al. 2020), get noise (Arjovsky and Bottou 2017,
    section 3), are packed as channels of one image (Lin et al. 2018), and are then
    distributed over the discriminators as `config.d_inputs` says.
    """

    def __init__(self, config, channels: int):
        """Prepares the channel masks and the projections.

        Args:
          config: A config like that of configs/dcgan_digits.py.
          channels: The number of channels of an image.
        """
        self._config = config
        self._number = len(config.d_channels)
        single = np.eye(channels)[np.arange(self._number - 1) % channels]
        masks = np.concatenate([np.ones((1, channels)), single]).astype(np.float32)
        masks = masks.repeat(config.packing, axis=1)  # the layout of packed images
        self._masks = masks[:, None, None, None]
        shape = self._number, 4, 4, channels * config.packing, channels
        self._kernels = jax.random.normal(streams.key(0, "projections"), shape)

    def __call__(self, key, images, labels, noise):
        """Makes the inputs of all discriminators.

        Args:
          key: The key of augmentation and noise.
          images: [batch, height, width, channels] float32.
          labels: [batch] integers.
          noise: [] float32. Standard deviation of the noise.

        Returns:
          [discriminators, batch', height', width', channels'] and
          [discriminators, batch'].
        """
        images, labels = self._packed(self._augmented(key, images, noise), labels)
        config = self._config
        if config.d_inputs == "split":
            return tuple(
                jnp.swapaxes(x.reshape(-1, self._number, *x.shape[1:]), 0, 1)
                for x in (images, labels)
            )
        images = jnp.broadcast_to(images[None], (self._number, *images.shape))
        labels = jnp.broadcast_to(labels[None], (self._number, *labels.shape))
        if config.d_inputs == "channels":
            images = images * self._masks
        if config.d_inputs == "projection":
            images = jax.vmap(_project)(images, self._kernels)
        return images, labels

    def _augmented(self, key, images, noise):
        config = self._config
        shift_key, cut_key, colour_key, noise_key = jax.random.split(key, 4)
        flip_key = jax.random.fold_in(key, 4)
        if "flip" in config.diff_augment:
            images = augment.flip(flip_key, images)
        if "colour" in config.diff_augment:
            images = augment.brightness(colour_key, images, 0.5)
        if "translation" in config.diff_augment:
            most = max(1, images.shape[1] // 8)
            images = augment.shift(shift_key, images + 1, most, "constant") - 1
        if "cutout" in config.diff_augment:
            images = augment.cutout(cut_key, images, 0.5)
        if config.instance_noise:
            images += noise * jax.random.normal(noise_key, images.shape)
        return images

    def _packed(self, images, labels):
        packing = self._config.packing
        if packing == 1:
            return images, labels
        # Packing neighbours makes packs independent of the number of devices.
        images = images.reshape(-1, packing, *images.shape[1:])
        images = jnp.moveaxis(images, 1, -1)
        images = images.reshape(*images.shape[:3], -1)
        return images, labels[: len(images)]  # packed images have no class


def _project(images, kernel):
    """Applies a random convolution that halves images (Albuquerque et al. 2019)."""
    kernel /= jnp.sqrt(jnp.sum(kernel**2, axis=(0, 1, 2), keepdims=True))
    dimensions = "NHWC", "HWIO", "NHWC"
    return layers.convolution()(
        images, kernel, (2, 2), "SAME", dimension_numbers=dimensions
    )
