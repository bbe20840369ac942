"""Classifies pictures with an ImageNet network, which verifies its weights.

    python -m launch.classify --weights=squeezenet1_0_imagenet.safetensors cat.jpg

The flags have the names of configs/style.py's fields, which describe the same weights:
for example --network=vgg19 --convention=torchvision. A picture is a file or
skimage:NAME, for example skimage:chelsea.
"""

from . import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import ml_collections
import numpy as np
from PIL import ImageOps

from dlx.data import images
from dlx.vision.pretrained import features

_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "The weights, like config.weights of configs/style.py.",
    required=True,
)
_NETWORK = flags.DEFINE_enum(
    "network",
    "squeezenet1_0",
    tuple(features.NETWORKS),
    "The network of these weights.",
)
_CONVENTION = flags.DEFINE_enum(
    "convention",
    "caffe",
    tuple(features.CONVENTIONS),
    "The input convention of the weights.",
)
_TOP = flags.DEFINE_integer("top", 3, "The number of classes to print.", lower_bound=1)
_SHORTER, _SIDE = 256, 224  # pixels: the resized square, and its central crop


def main(*names: str) -> None:
    pictures = [_prepare(images.read(name)) for name in names]
    config = ml_collections.ConfigDict(
        {
            "weights": _WEIGHTS.value,
            "network": _NETWORK.value,
            "convention": _CONVENTION.value,
            "pooling": "max",
            "seed": 0,
        }
    )
    network = features.load(config, ["logits"])
    classify = jax.jit(
        lambda v, x: jax.nn.softmax(network.features(v, x, ["logits"])["logits"])
    )
    classes = _classes()
    for name, picture in zip(names, pictures, strict=True):
        probabilities = np.asarray(classify(network.variables, picture[None]))[0]
        best = np.argsort(-probabilities)[: _TOP.value]
        answer = ", ".join(
            f"{classes[i]} ({i}) {100 * probabilities[i]:.1f} %" for i in best
        )
        print(f"{name}: {answer}")


def _prepare(picture):
    """The picture's central square, [224, 224, 3] float32 in [0, 1]."""
    square = ImageOps.fit(picture.convert("RGB"), (_SHORTER, _SHORTER))
    around = (_SHORTER - _SIDE) // 2
    return images.resize(ImageOps.crop(square, around), (_SIDE, _SIDE))


def _classes():
    """The first name of each of ImageNet's 1,000 classes, in order."""
    from tensorflow_datasets.datasets.siscore import labels

    return [name.split(",")[0] for name in labels.IMAGENET_LABELS_LIST]


if __name__ == "__main__":
    start.run(main, files=True)
