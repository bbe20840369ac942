"""The network of "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (Jordan 2024).

It consists of a frozen convolution that whitens 2x2 patches, three groups of two 3x3
convolutions, and one dense layer (section 3, and the listing in appendix A).
"""

from collections.abc import Callable, Sequence
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx.models.layers import Conv, max_pool
from dlx.models.receptive_field import ReceptiveField

_WHITENED = 5000  # images whose patches determine the whitening


def whitening(images: np.ndarray, size: int, epsilon: float = 5e-4) -> np.ndarray:
    """Computes the kernel that whitens square patches of these images (section 3.2).

    Args:
      images: [examples, height, width, channels] float32, scaled as in training.
      size: Height and width of a patch in pixels.
      epsilon: A constant that is added to each variance.

    Returns:
      [size, size, channels, 2 size size channels] float32: the eigenvectors of the
      patches' covariance, each divided by the root of its eigenvalue, and their
      negatives.
    """
    patches = np.lib.stride_tricks.sliding_window_view(
        images, (size, size), axis=(1, 2)
    )
    patches = np.moveaxis(patches, 3, -1)  # [..., size, size, channels]
    shape = patches.shape[-3:]
    patches = patches.reshape(-1, np.prod(shape)).astype(np.float64)
    variances, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    scaled = vectors / np.sqrt(variances + epsilon)
    kernel = np.concatenate([scaled, -scaled], axis=1)
    return kernel.reshape(*shape, -1).astype(np.float32)


def uniform(key, shape, dtype=jnp.float32):
    """Draws from U(-b, b), b = 1 / sqrt(inputs), as PyTorch initialises weights."""
    bound = 1 / np.sqrt(np.prod(shape[:-1]))
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def partial_identity(key, shape, dtype=jnp.float32):
    """Like `uniform`, but the first filters are the identity (section 3.3)."""
    kernel = uniform(key, shape, dtype)
    middle, number = (shape[0] // 2, shape[1] // 2), min(shape[2:])
    identity = jnp.zeros(shape, dtype).at[middle].set(jnp.eye(*shape[2:], dtype=dtype))
    return jnp.where(jnp.arange(shape[3]) < number, identity, kernel)


def _gelu(x):
    return nn.gelu(x, approximate=False)


class Group(nn.Module):
    """Convolution, pooling and another convolution; both convolutions are normalised.

    Attributes:
      width: The number of channels.
      dtype: The dtype of the arithmetic.
      axis_name: Name of the mapped axis over which batches are normalised together.
    """

    width: int
    dtype: Any
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for number in range(2):
            x = Conv(
                self.width,
                (3, 3),
                use_bias=False,
                dtype=self.dtype,
                kernel_init=partial_identity,
            )(x)
            if number == 0:
                x = max_pool(x)
            x = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.6,
                epsilon=1e-12,
                use_scale=False,
                dtype=self.dtype,
                axis_name=self.axis_name,
            )(x)
            x = _gelu(x)
        return x


class Airbench(nn.Module):
    """Maps scaled 32x32 colour images to logits.

    Attributes:
      num_classes: The number of classes.
      kernel: The frozen kernel of the first convolution, from `whitening`.
      stride: Stride of the first convolution.
      widths: Channels of each group.
      whiten_bias: Whether the first convolution has a bias, which is trained.
      dtype: The dtype of the arithmetic. Parameters, statistics and logits are float32.
      axis_name: Name of the mapped axis over which batches are normalised together.
    """

    num_classes: int
    kernel: np.ndarray
    stride: int
    widths: Sequence[int]
    whiten_bias: bool = True
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers: 'whiten', 'group1', 'group2', ..."""
        return ("whiten", *(f"group{n}" for n, _ in enumerate(self.widths, 1)))

    def receptive_fields(self) -> dict[str, ReceptiveField]:
        """Returns the receptive field of each layer's features."""
        field = ReceptiveField().through(self.kernel.shape[0], self.stride)
        fields = {"whiten": field}
        for name in self.layers[1:]:
            field = field.through(3, padding=1).through(2, stride=2)
            fields[name] = field = field.through(3, padding=1)
        return fields

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, wanted: Sequence[str] = ()
    ) -> jax.Array | dict[str, jax.Array]:
        """Computes logits, or the features of some layers.

        Args:
          images: [batch, height, width, channels] float32. Features can be computed of
            images of any size.
          train: Whether to normalise by the batch's statistics, not by running ones.
          wanted: Names of the layers whose features are returned.

        Returns:
          [batch, num_classes] float32, or {name: features} if layers are wanted.
        """
        whiten = Conv(
            self.kernel.shape[-1],
            self.kernel.shape[:2],
            strides=self.stride,
            padding="VALID",
            use_bias=self.whiten_bias,
            dtype=self.dtype,
            kernel_init=lambda *_: jnp.asarray(self.kernel),
            name="whiten",
        )
        x = whiten(images)
        x = _gelu(x if self.whiten_bias else lax.stop_gradient(x))
        features = {"whiten": x}
        for name, width in zip(self.layers[1:], self.widths, strict=True):
            x = Group(width, self.dtype, self.axis_name)(x, train=train)
            features[name] = x
        if wanted:
            return {name: features[name] for name in wanted}
        x = jnp.max(x, axis=(1, 2)).astype(jnp.float32)
        self.sow("intermediates", "features", x)
        head = nn.Dense(self.num_classes, use_bias=False, kernel_init=uniform)
        return head(x) / 9


def whitened(
    num_classes: int,
    examples: Callable[[], np.ndarray],
    patch: int = 2,
    stride: int = 1,
    widths: Sequence[int] = (64, 256, 256),
    whiten_bias: bool = True,
    dtype: Any = jnp.float32,
    axis_name: str | None = None,
) -> Airbench:
    """Makes the network for images of any size.

    Args:
      num_classes: The number of classes.
      examples: Returns scaled training images, whose patches are whitened.
      patch: Side of a whitened patch in pixels.
      stride: Stride of the patches.
      widths: Channels of each group.
      whiten_bias: Whether the first convolution has a bias.
      dtype: The dtype of the arithmetic.
      axis_name: Name of the mapped axis over which batches are normalised together.

    Raises:
      ValueError: if the groups, each of which halves an image, are too many.
    """
    images = examples()[:_WHITENED]
    side = (min(images.shape[1:3]) - patch) // stride + 1
    if side < 2 ** len(widths):
        raise ValueError(
            f"widths={tuple(widths)} are too many groups: each halves an image, and a "
            f"patch of {patch} leaves {side} pixels of these images"
        )
    kernel = whitening(images, patch)
    return Airbench(
        num_classes, kernel, stride, tuple(widths), whiten_bias, dtype, axis_name
    )


def views(images: jax.Array) -> list[tuple[float, jax.Array]]:
    """Test-time augmentation: views of each image and their weights (section 3.5).

    Args:
      images: [batch, height, width, channels] float32.

    Returns:
      Six pairs of weight and images. The images and their mirror images have half of
      the weight. The other half belongs to the same images moved by one pixel, down
      right and up left.
    """
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = [
        lax.slice_in_dim(
            lax.slice_in_dim(padded, first, first + height, axis=1),
            first,
            first + width,
            axis=2,
        )
        for first in (0, 2)
    ]
    weighted = [(0.25, images), (0.125, shifted[0]), (0.125, shifted[1])]
    return weighted + [(weight, view[:, :, ::-1]) for weight, view in weighted]
