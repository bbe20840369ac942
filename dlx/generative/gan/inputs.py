"""What discriminators get to see."""

import jax
import jax.numpy as jnp
import numpy as np

from dlx import streams
from dlx.data import augment
from dlx.models import layers

# All that there is to see; or each discriminator disjoint images; or all behind a fixed
# random convolution of its own; or the first all, and each other one channel alone.
KINDS = "same", "split", "projection", "channels"
AUGMENTATIONS = "translation", "cutout", "colour"


class Views:
    """What the discriminators get to see of a batch.

    Augmented (Zhao et al. 2020), with noise (Arjovsky and Bottou 2017, section 3),
    several images as the channels of one (Lin et al. 2018); and then each its own view.
    """

    def __init__(self, config, channels: int):
        """Args: a config as in configs/dcgan_digits.py, and the images' channels."""
        self._config = config
        self._number = len(config.d_channels)
        each = np.eye(channels)[np.arange(self._number - 1) % channels]
        seen = np.concatenate([np.ones((1, channels)), each]).astype(np.float32)
        seen = seen.repeat(config.packing, axis=1)  # as packed images are laid out
        self._seen = seen[:, None, None, None]
        shape = self._number, 4, 4, channels * config.packing, channels
        self._kernels = jax.random.normal(streams.key(0, "projections"), shape)

    def __call__(self, key, images, labels, noise):
        """[batch, h, w, c], [batch] -> [discriminators, batch', ...], [..., batch']."""
        config = self._config
        shift_key, cut_key, colour_key, noise_key = jax.random.split(key, 4)
        if "colour" in config.diff_augment:
            images = augment.brightness(colour_key, images, 0.5)
        if "translation" in config.diff_augment:
            reach = max(1, images.shape[1] // 8)
            images = augment.shift(shift_key, images + 1, reach, "constant") - 1
        if "cutout" in config.diff_augment:
            images = augment.cutout(cut_key, images, 0.5)
        if config.instance_noise:
            images += noise * jax.random.normal(noise_key, images.shape)
        if config.packing > 1:
            # Neighbours, so that it is no matter how many devices share the batch.
            images = images.reshape(-1, config.packing, *images.shape[1:])
            images = jnp.moveaxis(images, 1, -1)
            images = images.reshape(*images.shape[:3], -1)
            labels = labels[: len(images)]  # which mean nothing then
        if config.views == "split":
            return tuple(
                jnp.swapaxes(x.reshape(-1, self._number, *x.shape[1:]), 0, 1)
                for x in (images, labels)
            )
        images = jnp.broadcast_to(images[None], (self._number, *images.shape))
        labels = jnp.broadcast_to(labels[None], (self._number, *labels.shape))
        if config.views == "channels":
            images = images * self._seen
        if config.views == "projection":
            images = jax.vmap(_project)(images, self._kernels)
        return images, labels


def _project(images, kernel):
    """A fixed random convolution that halves images (Albuquerque et al. 2019)."""
    kernel /= jnp.sqrt(jnp.sum(kernel**2, axis=(0, 1, 2), keepdims=True))
    dimensions = "NHWC", "HWIO", "NHWC"
    return layers.convolution()(
        images, kernel, (2, 2), "SAME", dimension_numbers=dimensions
    )
