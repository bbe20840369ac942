"""What all classifiers of images share: data, preparation, and how they are judged.

A classifier's module in `dlx.tasks` has, besides `make`, a function `classify`:
config -> (data, logits), for whoever wants to show it a picture.
"""

from collections.abc import Callable
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures as drawing
from dlx import streams
from dlx.data import augment, batches, sources
from dlx.errors import UserError, require_one_of

_AT_ONCE = 500  # test images in one call of the network

# (state, images [batch, height, width, channels] in 0 ... 255) -> logits [batch,
# classes]; it scales them as the state says.
Logits = Callable[[Any, Any], Any]


@struct.dataclass
class Scale:
    """Standardises images. A part of the run's state, so that it is saved with it.

    Attributes:
      mean: [channels] float32, of images in 0 ... 1.
      std: [channels] float32, their standard deviation.
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
    """The scale with which each channel has mean 0 and deviation 1 over these images.

    Sums are of whole numbers, and exact: those of float32 stop growing at 2^24.

    Args:
      images: [examples, height, width, channels] uint8.
    """
    axes = tuple(range(images.ndim - 1))
    mean = images.mean(axes, dtype=np.float64)
    square = np.square(images, dtype=np.uint16).mean(axes, dtype=np.float64)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    std = np.maximum(std, 0.255)  # of a channel that is all one value
    return Scale(jnp.float32(mean / 255), jnp.float32(std / 255))


class Data:
    """A config's data set: batches to train on, all of the test split, and a scale.

    Attributes:
      batches: Of {'images': [..., height, width, channels] uint8, 'labels': int32}.
      test: The test split.
      some: Training images that statistics are taken from, [examples, height, width,
        channels] uint8: all of them; of a streamed data set a thousand, evenly spaced.
      scale: Of these images; where a run begins. A state holds its own.
    """

    batches: batches.Batches
    test: sources.Images
    some: np.ndarray
    scale: Scale

    def __init__(self, config):
        """Reads what `config.dataset` names.

        Args:
          config: Its dataset, data_dir, manual_dir, streamed, batch_size, seed, and
            what `prepare` reads.

        Raises:
          UserError: where it cannot be had, or does not divide over the devices.
        """
        require_one_of(config, "flip", ("never", "random", "alternating"))
        require_one_of(config, "shift_fill", ("black", "reflect"))
        self._config = config
        self.test = sources.load(
            config.dataset, "test", config.data_dir, config.manual_dir
        )
        self.batches, self.some = batches.of_images(config)
        self.scale = scale_of(self.some)
        self.shape = self.test.images.shape[1:]
        self.num_classes = len(self.test.names)
        if self.num_classes < 2:
            raise UserError(f"config.dataset={config.dataset} has no classes to tell")

    def prepare(
        self, key: jax.Array, batch: dict[str, jax.Array], scale: Scale
    ) -> jax.Array:
        """A batch's images, scaled, then changed at random as the config says."""
        config = self._config
        flip_key, shift_key, bright_key, contrast_key = jax.random.split(key, 4)
        images = scale(batch["images"])
        if config.flip == "alternating":
            key = streams.key(batch["seed"], "halves")
            which = batch["index"], batch["epoch"]
            images = augment.alternating_flip(key, *which, images)
        elif config.flip == "random":
            images = augment.flip(flip_key, images)
        if config.shift:
            black = scale(jnp.zeros((1, 1, 1, self.shape[-1])))
            mode = "constant" if config.shift_fill == "black" else "reflect"
            moved = augment.shift(shift_key, images - black, config.shift, mode)
            images = moved + black
        if config.brightness:
            images = augment.brightness(bright_key, images, config.brightness)
        if config.contrast:
            low, high = 1 - config.contrast, 1 + config.contrast
            images = augment.contrast(contrast_key, images, low, high)
        return images


def judges(data: Data, logits: Logits, filters: Callable[[Any], Any]):
    """A task's `evaluate` and `figures`.

    Args:
      data: Its test split is what is judged on.
      logits: The network.
      filters: state -> first-layer filters [height, width, channels, number].

    Returns:
      evaluate: (state, key) -> {'accuracy', 'error_rate' in percent, 'nll' in nats}.
      figures: (state, key) -> pictures.
    """
    images, labels = data.test.images, data.test.labels

    def predict(state):
        """Log-probabilities of the test split, [examples, classes] float32."""
        parts = [
            np.asarray(logits(state, images[first : first + _AT_ONCE]))
            for first in range(0, len(images), _AT_ONCE)
        ]
        return np.asarray(jax.nn.log_softmax(np.concatenate(parts)))

    def evaluate(state, key):
        del key
        log_probs = predict(state)
        right = np.mean(np.argmax(log_probs, axis=1) == labels)
        nll = -np.mean(log_probs[np.arange(len(labels)), labels])
        numbers = {"accuracy": 100 * right, "error_rate": 100 * (1 - right), "nll": nll}
        return {name: jnp.float32(number) for name, number in numbers.items()}

    def figures(state, key):
        del key
        log_probs = predict(state)
        guesses = np.argmax(log_probs, axis=1)
        counts = np.zeros((data.num_classes, data.num_classes), int)
        np.add.at(counts, (labels, guesses), 1)
        wrong = np.flatnonzero(guesses != labels)
        # Worst first: the surer of the wrong class, the worse.
        wrong = wrong[np.argsort(-log_probs[wrong, guesses[wrong]])][:40]
        names = data.test.names
        titles = [f"{names[labels[i]]}, not {names[guesses[i]]}" for i in wrong]
        pictures = {"confusion": drawing.confusion(counts, names)}
        if len(wrong):
            pictures["mistakes"] = drawing.grid(images[wrong], titles)
        pictures["filters"] = drawing.filters(np.asarray(filters(state)))
        return pictures

    return evaluate, figures
