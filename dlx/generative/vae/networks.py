"""Variational autoencoders of images of bits."""

from collections.abc import Sequence

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlx.models.layers import Conv, upsample


def dense(x: jax.Array, width: int, gated: bool) -> jax.Array:
    """A dense layer of the module that calls it, [..., n] -> [..., width].

    Its units are tanh's or, `gated`, linear with a sigmoid's gate each (Dauphin et al.
    2017, equation 1).
    """
    if gated:
        return nn.glu(nn.Dense(2 * width)(x))
    return nn.tanh(nn.Dense(width)(x))


class Encoder(nn.Module):
    """q(z | x), a normal distribution (Kingma and Welling 2014, appendix C.2).

    Attributes:
      latents: Dimensions of z.
      features: Width of each dense layer.
      gated: Whether these are gated, and not tanh's.
      channels: Of each convolution before them, which halves the image; () for none.
    """

    latents: int
    features: Sequence[int]
    gated: bool
    channels: Sequence[int]

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[batch, height, width, c] -> mean, log deviation, [batch, latents] each."""
        for channels in self.channels:
            x = nn.gelu(Conv(channels, (3, 3), strides=2)(x))
        x = x.reshape(len(x), -1)
        for width in self.features:
            x = dense(x, width, self.gated)
        mean, log_std = nn.Dense(self.latents)(x), nn.Dense(self.latents)(x)
        return mean, log_std


class Decoder(nn.Module):
    """p(x | z), a Bernoulli distribution of each pixel.

    Attributes:
      shape: Of an image: height, width, channels.
      features: Width of each dense layer.
      gated: Whether these are gated, and not tanh's.
      channels: Of each convolution after them, which doubles the image; () for none.
      bias: Of the logits at first, [height, width, channels].
    """

    shape: Sequence[int]
    features: Sequence[int]
    gated: bool
    channels: Sequence[int]
    bias: np.ndarray

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """[..., latents] -> logits [..., height, width, channels]."""
        lead, x = z.shape[:-1], z.reshape(-1, z.shape[-1])
        for width in self.features:
            x = dense(x, width, self.gated)
        if self.channels:
            small = [side >> len(self.channels) for side in self.shape[:2]]
            x = nn.Dense(small[0] * small[1] * self.channels[0])(x)
            x = x.reshape(len(x), *small, self.channels[0])
            for channels in (*self.channels[1:], self.shape[-1]):
                x = nn.gelu(x)
                x = upsample(Conv(4 * channels, (3, 3))(x))
        else:
            x = nn.Dense(int(np.prod(self.shape)), use_bias=False)(x)
        bias = self.param("bias", lambda _: jnp.asarray(self.bias))
        return (x.reshape(-1, *self.shape) + bias[None]).reshape(*lead, *self.shape)


class VAE(nn.Module):
    """An encoder and a decoder.

    Attributes:
      shape: Of an image.
      latents: Dimensions of z.
      features: Of the encoder; the decoder's are these turned round.
      gated: Whether dense layers are, in both.
      channels: Of the encoder; the decoder's are these turned round.
      bias: Of the logits at first.
    """

    shape: Sequence[int]
    latents: int
    features: Sequence[int]
    gated: bool
    channels: Sequence[int]
    bias: np.ndarray

    def setup(self):
        self.encoder = Encoder(self.latents, self.features, self.gated, self.channels)
        self.decoder = Decoder(
            self.shape, self.features[::-1], self.gated, self.channels[::-1], self.bias
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Both, so that one call makes all parameters."""
        return self.decode(self.encode(x)[0])

    def encode(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[batch, height, width, c] -> mean, log deviation, [batch, latents] each."""
        return self.encoder(x)

    def decode(self, z: jax.Array) -> jax.Array:
        """[..., latents] -> logits [..., height, width, c]."""
        return self.decoder(z)


def make(
    shape: Sequence[int],
    *,
    latents: int,
    features: Sequence[int],
    gated: bool,
    channels: Sequence[int],
    pixel_means: np.ndarray,
) -> VAE:
    """Makes a VAE whose logits begin at the pixels' means.

    Args:
      shape: Of an image: height, width, channels.
      latents: Dimensions of z.
      features: Widths of the dense layers.
      gated: Whether they are gated, and not tanh's.
      channels: Of the convolutions; () for a fully connected model.
      pixel_means: [height, width, channels], in [0, 1].

    Raises:
      ValueError: for widths that are none, or an image that does not halve so often.
    """
    widths = [latents, *features, *channels]
    if not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(f"layers need positive integer widths, got {widths}")
    if any(side % 2 ** len(channels) for side in shape[:2]):
        raise ValueError(f"{shape[0]}x{shape[1]} does not halve {len(channels)} times")
    kept = np.clip(pixel_means, 1e-3, 1 - 1e-3)
    bias = np.log(kept / (1 - kept)).astype(np.float32)
    return VAE(tuple(shape), latents, tuple(features), gated, tuple(channels), bias)
