"""SqueezeNet 1.0 as a classifier of ImageNet, and as features that compare images."""

from collections.abc import Sequence
import functools
import importlib.resources

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from dlx.runtime import digests
from dlx.vision import evaluation
from dlx.vision.pretrained import features

_NETWORK, _LAYER = "squeezenet1_0", "fire9"
_SIDE = 227  # pixels of the network's input
_BATCH = 50  # images in one call


class Classifier:
    """A network that was trained on ImageNet.

    Attributes:
      name: The network's name.
      names: Names of the classes that it tells apart, by label; empty if it does not
        know the data set's classes.
      digest: Digest of its weights, 12 hexadecimal digits.
    """

    def __init__(self, weights: str, names: Sequence[str]):
        """Reads a file of weights in Caffe's convention.

        Args:
          weights: See configs/style.py.
          names: Names of the data set's classes. It tells them apart if all are WordNet
            ids of ImageNet's classes, such as 'n01443537'.

        Raises:
          UserError: if it is missing or has other weights.
        """
        config = {"network": _NETWORK, "weights": weights, "convention": "caffe"}
        config = ml_collections.ConfigDict(config | {"seed": 0, "pooling": "max"})
        network = features.load(config, ["logits"])
        chosen = _positions(names)
        self.name, self.names = _NETWORK, names if chosen else ()
        self.digest = digests.digest(network.variables)[:12]
        self._variables = network.variables

        @jax.jit
        def classify(variables, images):
            shape = len(images), _SIDE, _SIDE, images.shape[-1]
            x = jax.image.resize(images / jnp.float32(255), shape, "linear")
            x = jnp.broadcast_to(x, (*shape[:3], 3))
            found = network.features(variables, x, [_LAYER, "logits"])
            logits = found["logits"][:, chosen] if chosen else found["logits"]
            return jax.nn.log_softmax(logits), jnp.mean(found[_LAYER], axis=(1, 2))

        self._classify = classify

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classifies images, which are scaled to 227x227 pixels.

        Args:
          images: [number, height, width, 1 or 3] uint8.

        Returns:
          Log-probabilities [number, classes] float32, of all 1,000 classes if `names`
          is empty; and features [number, 512] float32, which are the means over all
          positions of the last layer before the logits.
        """
        classify = functools.partial(self._classify, self._variables)
        return evaluation.in_batches(classify, images, _BATCH)


def _positions(names):
    """Positions of classes among the logits; None if not all names are WordNet ids."""
    package = importlib.resources.files("tensorflow_datasets")
    file = package / "image_classification" / "imagenet_resized_labels.txt"
    ids = sorted(
        file.read_text(encoding="utf-8").split()
    )  # the order of ImageNet's classes
    return [ids.index(name) for name in names] if set(names) <= set(ids) else None
