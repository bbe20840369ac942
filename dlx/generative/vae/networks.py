"""Variational autoencoders of binary images: networks and log-densities."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlx.generative.measures import likelihood
from dlx.models.layers import Conv, upsample


def dense(x: jax.Array, width: int, gated: bool, dtype: Any = None) -> jax.Array:
    """Applies a new dense layer of the calling module, [..., n] -> [..., width].

    Its activation is tanh, or a gated linear unit if `gated` (Dauphin et al. 2017,
    equation 1).
    """
    if gated:
        return nn.glu(nn.Dense(2 * width, dtype=dtype)(x))
    return nn.tanh(nn.Dense(width, dtype=dtype)(x))


class Encoder(nn.Module):
    """q(z | x), a normal distribution (Kingma and Welling 2014, appendix C.2).

    Attributes:
      latents: The number of dimensions of z.
      features: Width of each dense layer.
      gated: Whether dense layers are gated linear units instead of tanh.
      channels: Channels of each convolution before the dense layers, each of which
        halves the image. () means no convolutions.
      dtype: The dtype of the arithmetic. Parameters and results are float32.
    """

    latents: int
    features: Sequence[int]
    gated: bool
    channels: Sequence[int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[batch, height, width, c] -> mean and log std, [batch, latents] each."""
        for channels in self.channels:
            x = nn.gelu(Conv(channels, (3, 3), strides=2, dtype=self.dtype)(x))
        x = x.reshape(len(x), -1)
        for width in self.features:
            x = dense(x, width, self.gated, self.dtype)
        x = x.astype(jnp.float32)
        mean, log_std = nn.Dense(self.latents)(x), nn.Dense(self.latents)(x)
        return mean, log_std


class Decoder(nn.Module):
    """p(x | z), a Bernoulli distribution of each pixel.

    Attributes:
      shape: Height, width and channels of an image.
      features: Width of each dense layer.
      gated: Whether dense layers are gated linear units instead of tanh.
      channels: Channels of each convolution after the dense layers, each of which
        doubles the image. () means no convolutions.
      bias: [height, width, channels] float32. Initial bias of the logits.
      dtype: The dtype of the arithmetic. Parameters and logits are float32.
    """

    shape: Sequence[int]
    features: Sequence[int]
    gated: bool
    channels: Sequence[int]
    bias: np.ndarray
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """[..., latents] -> logits [..., height, width, channels]."""
        lead, x = z.shape[:-1], z.reshape(-1, z.shape[-1])
        for width in self.features:
            x = dense(x, width, self.gated, self.dtype)
        if self.channels:
            small = [side >> len(self.channels) for side in self.shape[:2]]
            x = nn.Dense(small[0] * small[1] * self.channels[0], dtype=self.dtype)(x)
            x = x.reshape(len(x), *small, self.channels[0])
            for channels in (*self.channels[1:], self.shape[-1]):
                x = nn.gelu(x)
                x = upsample(Conv(4 * channels, (3, 3), dtype=self.dtype)(x))
        else:
            pixels = int(np.prod(self.shape))
            x = nn.Dense(pixels, use_bias=False, dtype=self.dtype)(x)
        x = x.astype(jnp.float32)
        bias = self.param("bias", lambda _: jnp.asarray(self.bias))
        return (x.reshape(-1, *self.shape) + bias[None]).reshape(*lead, *self.shape)


class VAE(nn.Module):
    """An encoder and a decoder.

    Attributes:
      shape: Height, width and channels of an image.
      latents: The number of dimensions of z.
      features: Widths of the encoder's dense layers; the decoder has them in reverse.
      gated: Whether dense layers are gated linear units instead of tanh.
      channels: Channels of the encoder's convolutions; the decoder has them in reverse.
      bias: [height, width, channels] float32. Initial bias of the logits.
      dtype: The dtype of the arithmetic. Parameters and logits are float32.
    """

    shape: Sequence[int]
    latents: int
    features: Sequence[int]
    gated: bool
    channels: Sequence[int]
    bias: np.ndarray
    dtype: Any = jnp.float32

    def setup(self):
        self.encoder = Encoder(
            self.latents, self.features, self.gated, self.channels, self.dtype
        )
        self.decoder = Decoder(
            self.shape,
            self.features[::-1],
            self.gated,
            self.channels[::-1],
            self.bias,
            self.dtype,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Encodes and decodes; one call initialises all parameters."""
        return self.decode(self.encode(x)[0])

    def encode(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[batch, height, width, c] -> mean and log std, [batch, latents] each."""
        return self.encoder(x)

    def decode(self, z: jax.Array) -> jax.Array:
        """[..., latents] -> logits [..., height, width, c]."""
        return self.decoder(z)


class Model:
    """Log-densities of encoder, decoder and prior as functions of the parameters.

    Attributes:
      network: The network's module.
    """

    def __init__(self, network: VAE):
        self.network = network

    def encode(self, params, x):
        """Pixels in [0, 1] -> mean and log std of z, [batch, latents] each."""
        return self.network.apply({"params": params}, x, method="encode")

    def decode(self, params, z):
        """[..., latents] -> logits [..., height, width, channels]."""
        return self.network.apply({"params": params}, z, method="decode")

    def noise(self, key, batch, samples):
        """Draws the noise of `samples` samples of z for each image of a batch."""
        return jax.random.normal(key, (samples, batch, self.network.latents))

    def terms(self, params, x, noise):
        """Returns the terms of the bounds, for samples of z.

        Args:
          params: The network's parameters.
          x: [batch, height, width, channels] float32. Binary pixels.
          noise: [k, batch, latents] float32. The noise of k samples for each image.

        Returns:
          log p(x | z) [k, batch], log p(z) - log q(z | x) [k, batch], mean of q [batch,
          latents] and log std of q [batch, latents].
        """
        mean, log_std = self.encode(params, x)
        mean_k, log_std_k = mean[None], log_std[None]
        z = mean_k + jnp.exp(log_std_k) * noise
        fit = likelihood.bernoulli_log_prob(x, self.decode(params, z))
        prior = likelihood.normal_log_prob(z)
        posterior = likelihood.normal_log_prob(z, mean_k, log_std_k)
        return fit, prior - posterior, mean, log_std


def make(
    shape: Sequence[int],
    *,
    latents: int,
    features: Sequence[int],
    gated: bool,
    channels: Sequence[int],
    pixel_means: np.ndarray,
    dtype: Any = jnp.float32,
) -> VAE:
    """Makes a VAE whose initial decoder predicts the pixels' means.

    Args:
      shape: Height, width and channels of an image.
      latents: The number of dimensions of z.
      features: Widths of the dense layers.
      gated: Whether dense layers are gated linear units instead of tanh.
      channels: Channels of the convolutions; () for a fully connected model.
      pixel_means: [height, width, channels] float in [0, 1].
      dtype: The dtype of the arithmetic.

    Raises:
      ValueError: if a width is not a positive integer or the convolutions cannot halve
        the image that often.
    """
    widths = [latents, *features, *channels]
    if not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(f"layers need positive integer widths, got {widths}")
    if any(side % 2 ** len(channels) for side in shape[:2]):
        raise ValueError(
            f"{shape[0]}x{shape[1]} images cannot be halved {len(channels)} times; use "
            "fewer channels"
        )
    means = np.clip(pixel_means, 1e-3, 1 - 1e-3)
    bias = np.log(means / (1 - means)).astype(np.float32)
    return VAE(
        tuple(shape), latents, tuple(features), gated, tuple(channels), bias, dtype
    )
