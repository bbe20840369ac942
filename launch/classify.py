"""Says what an ImageNet network sees in pictures, which proves its weights right.

    python -m launch.classify --weights=squeezenet1_0_imagenet.safetensors cat.jpg

The network is told from the config of style transfer, whose weights these are: say
--network=vgg19, --convention=torchvision. A picture may be skimage:chelsea, too.
"""

from launch import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import ml_collections
import numpy as np
from PIL import ImageOps

from dlx.data import images
from dlx.style import features

_WEIGHTS = flags.DEFINE_string("weights", None, "As config.weights.", required=True)
_NETWORK = flags.DEFINE_enum(
    "network", "squeezenet1_0", tuple(features.NETWORKS), "Whose weights they are."
)
_CONVENTION = flags.DEFINE_enum(
    "convention", "caffe", tuple(features.CONVENTIONS), "What pictures they want."
)
_TOP = flags.DEFINE_integer("top", 3, "How many classes to name.", lower_bound=1)
_SHORTER, _SIDE = 256, 224  # pixels: a picture's shorter side, and what is cut out


def main(*names: str) -> None:
    seen = [_prepare(images.read(name)) for name in names]
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
    look = jax.jit(
        lambda v, x: jax.nn.softmax(network.look(v, x, ["logits"])["logits"])
    )
    classes = _classes()
    for name, picture in zip(names, seen, strict=True):
        probabilities = np.asarray(look(network.variables, picture[None]))[0]
        best = np.argsort(-probabilities)[: _TOP.value]
        said = ", ".join(
            f"{classes[i]} ({i}) {100 * probabilities[i]:.1f} %" for i in best
        )
        print(f"{name}: {said}")


def _prepare(picture):
    """The middle of it, [224, 224, 3] float32 in [0, 1]."""
    square = ImageOps.fit(picture.convert("RGB"), (_SHORTER, _SHORTER))
    around = (_SHORTER - _SIDE) // 2
    return images.resize(ImageOps.crop(square, around), (_SIDE, _SIDE))


def _classes():
    """ImageNet's 1,000, in order, each by its first name."""
    from tensorflow_datasets.datasets.siscore import labels

    return [name.split(",")[0] for name in labels.IMAGENET_LABELS_LIST]


if __name__ == "__main__":
    start.run(main, files=True)
