"""Data, augmentation and evaluation of image classifiers.

Besides `make`, a classifier's module has a function `classify`: config -> (data,
logits). Programs use it to classify further images.
"""

from collections.abc import Callable, Sequence
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from dlx import fields, streams
from dlx import figures as drawing
from dlx.data import augment, batches, sources
from dlx.errors import UserError

_EXAMPLES = 5000
_BATCH = 500  # test images in one call of the network

FIELDS = batches.FIELDS | {
    "flip": fields.choice("never", "random", "alternating"),
    "shift": fields.integer(0),
    "shift_fill": fields.choice("black", "reflect"),
    "brightness": fields.real(0),
    "contrast": fields.real(0, 1),
    "rotation": fields.real(0, 180),
    "zoom": fields.real(0, below=1),
}

# (state, images [batch, height, width, channels] in 0 ... 255) -> logits [batch,
# classes]. It scales the images with the state's scale.
Logits = Callable[[Any, Any], Any]


@struct.dataclass
class Scale:
    """Standardises images. It is part of the run's state and saved with it.

    Attributes:
      mean: [channels] float32. Means of images in 0 ... 1.
      std: [channels] float32. Standard deviations of images in 0 ... 1.
    """

    mean: jax.Array
    std: jax.Array

    def __call__(self, images: jax.Array) -> jax.Array:
        """[..., channels] in 0 ... 255 -> float32, standardised."""
        mean, std = (
            x.reshape((1,) * (images.ndim - 1) + (-1,)) for x in (self.mean, self.std)
        )
        return (images.astype(jnp.float32) / 255 - mean) / std


def scale_of(images: np.ndarray) -> Scale:
    """Computes the scale that gives each channel mean 0 and standard deviation 1.

    Sums are exact, because they are sums of integers; sums in float32 stop growing at
    2^24.

    Args:
      images: [examples, height, width, channels] uint8.
    """
    axes = tuple(range(images.ndim - 1))
    mean = images.mean(axes, dtype=np.float64)
    square = np.square(images, dtype=np.uint16).mean(axes, dtype=np.float64)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    std = np.maximum(std, 0.255)  # for a channel with a single value
    return Scale(jnp.float32(mean / 255), jnp.float32(std / 255))


class Data:
    """A config's data set: training batches, the evaluated split, and a scale.

    Attributes:
      batches: Batches of {'images': [..., height, width, channels] uint8, 'labels':
        int32}.
      test: The split that is evaluated; see `dlx.data.splits`.
      sample: [examples, height, width, channels] uint8. Training images for statistics:
        all images, or a thousand evenly spaced ones of a streamed data set.
      scale: The scale of `sample`, with which a run begins. A run's state holds its own
        scale.
      shape: Height, width and channels of an image.
      num_classes: The number of classes.
    """

    batches: batches.Batches
    test: sources.Images
    sample: np.ndarray
    scale: Scale
    shape: tuple[int, ...]
    num_classes: int

    def __init__(self, config):
        """Loads `config.dataset`.

        Args:
          config: Its dataset, data_dir, manual_dir, streamed, batch_size and seed are
            read. `prepare` reads its fields for augmentation.

        Raises:
          UserError: if the data are missing or have no classes, or the devices do not
            divide the batch.
        """
        self._config = config
        self.test = batches.evaluated(config)
        sources.require_classes(config.dataset, self.test.labels, self.test.names)
        self.batches, self.sample = batches.of_images(config)
        labels = self.batches.sample("labels")
        sources.require_classes(config.dataset, labels, self.test.names)
        self.scale = scale_of(self.sample)
        self.shape = self.test.images.shape[1:]
        self.num_classes = len(self.test.names)
        if config.shift >= min(self.shape[:2]):
            raise UserError(
                f"config.shift={config.shift} shifts images of {self.shape[0]}x"
                f"{self.shape[1]} pixels out of sight; use fewer pixels"
            )

    def examples(self) -> np.ndarray:
        """Returns up to 5,000 of the training images, scaled."""
        return np.asarray(self.scale(self.sample[:_EXAMPLES]))

    def prepare(
        self, key: jax.Array, batch: dict[str, jax.Array], scale: Scale
    ) -> jax.Array:
        """Scales and augments a batch of images, as the config says."""
        config = self._config
        keys = jax.random.split(key, 5)
        flip_key, shift_key, bright_key, contrast_key, affine_key = keys
        images = scale(batch["images"])
        black = scale(jnp.zeros((1, 1, 1, self.shape[-1])))
        rotation, zoom = config.get("rotation", 0.0), config.get("zoom", 0.0)
        if rotation or zoom:
            images = augment.affine(affine_key, images - black, rotation, zoom) + black
        if config.flip == "alternating":
            key = streams.key(batch["seed"], "halves")
            images = augment.alternating_flip(
                key, batch["index"], batch["epoch"], images
            )
        elif config.flip == "random":
            images = augment.flip(flip_key, images)
        if config.shift:
            mode = "constant" if config.shift_fill == "black" else "reflect"
            shifted = augment.shift(shift_key, images - black, config.shift, mode)
            images = shifted + black
        if config.brightness:
            images = augment.brightness(bright_key, images, config.brightness)
        if config.contrast:
            low, high = 1 - config.contrast, 1 + config.contrast
            images = augment.contrast(contrast_key, images, low, high)
        return images


def make_evaluate(data: Data, logits: Logits):
    """Returns a task's `evaluate`, on the test split.

    It is (state, key) -> {'accuracy' and 'error_rate' in percent, 'nll' in nats}.
    """
    labels = data.test.labels

    def evaluate(state, key):
        del key
        log_probs = _log_probs(data, logits, state)
        accuracy = np.mean(np.argmax(log_probs, axis=1) == labels)
        nll = -np.mean(log_probs[np.arange(len(labels)), labels])
        numbers = {
            "accuracy": 100 * accuracy,
            "error_rate": 100 * (1 - accuracy),
            "nll": nll,
        }
        return {name: jnp.float32(number) for name, number in numbers.items()}

    return evaluate


def make_figures(data: Data, logits: Logits, filters: Callable[[Any], Any]):
    """Returns a task's `figures`: confusion matrix, worst mistakes and filters.

    Args:
      data: Data whose test split is classified.
      logits: The network.
      filters: state -> first-layer filters [height, width, channels, number], or None.
    """
    images, labels, names = data.test.images, data.test.labels, data.test.names

    def figures(state, key):
        del key
        log_probs = _log_probs(data, logits, state)
        guesses = np.argmax(log_probs, axis=1)
        counts = np.zeros((data.num_classes, data.num_classes), int)
        np.add.at(counts, (labels, guesses), 1)
        pictures = {"confusion": drawing.confusion(counts, names)}
        wrong = np.flatnonzero(guesses != labels)
        if len(wrong):
            # The worst mistakes are those with the highest probability.
            wrong = wrong[np.argsort(-log_probs[wrong, guesses[wrong]])][:40]
            titles = [f"{names[labels[i]]}, not {names[guesses[i]]}" for i in wrong]
            pictures["mistakes"] = drawing.grid(images[wrong], titles)
        kernel = filters(state)
        if kernel is not None:
            pictures["filters"] = drawing.filters(np.asarray(kernel))
        return pictures

    return figures


def _log_probs(data, logits, state):
    """Log-probabilities of the test split, [examples, classes] float32."""
    images = data.test.images
    parts = [
        np.asarray(logits(state, images[first : first + _BATCH]))
        for first in range(0, len(images), _BATCH)
    ]
    return np.asarray(jax.nn.log_softmax(np.concatenate(parts)))


def in_batches(
    function: Callable[[np.ndarray], Sequence[jax.Array]], images: np.ndarray, size: int
) -> tuple[np.ndarray, ...]:
    """Applies a function to images, always to `size` of them.

    Args:
      function: Images [size, ...] -> arrays [size, ...].
      images: [number, ...].
      size: The number of images in one call. Equal shapes need only one program.

    Returns:
      The function's results, [number, ...] each.
    """
    results = []
    for first in range(0, len(images), size):
        part = images[first : first + size]
        outputs = function(np.resize(part, (size, *part.shape[1:])))
        results.append([np.asarray(output)[: len(part)] for output in outputs])
    return tuple(map(np.concatenate, zip(*results, strict=True)))
