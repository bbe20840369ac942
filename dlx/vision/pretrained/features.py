"""Pre-trained feature extractors and their receptive fields."""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from absl import logging
import jax
import jax.numpy as jnp
import numpy as np

from dlx import fields, paths, streams
from dlx.errors import UserError
from dlx.models.receptive_field import ReceptiveField
from dlx.runtime import restore
from dlx.runtime.rundir import read_config
from dlx.vision import airbench, classifier
from dlx.vision.pretrained import squeezenet, vgg, weights

_CAFFE = np.array([[[[103.939, 116.779, 123.68]]]], np.float32)  # BGR mean in 0 ... 255
_MEAN = np.array([[[[0.485, 0.456, 0.406]]]], np.float32)  # RGB mean in 0 ... 1
_DEVIATION = np.array([[[[0.229, 0.224, 0.225]]]], np.float32)
CONVENTIONS = {
    "torchvision": lambda x: (x - _MEAN) / _DEVIATION,
    "caffe": lambda x: 255 * x[..., ::-1] - _CAFFE,
}
NETWORKS = {
    **{
        f"squeezenet{version.replace('.', '_')}": squeezenet.SqueezeNet(version)
        for version in squeezenet.VERSIONS
    },
    **{f"vgg{depth}": vgg.VGG(depth) for depth in vgg.DEPTHS},
}
RANDOM = "random"
FIELDS = {
    "weights": fields.text(),
    "network": fields.choice(*NETWORKS),
    "convention": fields.choice(*CONVENTIONS),
    "pooling": fields.choice(*vgg.POOLS),
}
_CLASSIFIERS = {"airbench": airbench, "classifier": classifier}  # trained by dlx


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """A network with its weights.

    Attributes:
      layers: The names of all layers.
      receptive_fields: The receptive field of each layer.
      variables: The weights.
      features: (variables, images [batch, height, width, 3] float32 in [0, 1], names of
        layers) -> {name: [batch, height', width', channels] float32}. Pure.
    """

    layers: tuple[str, ...]
    receptive_fields: dict[str, ReceptiveField]
    variables: Any
    features: Callable[[Any, jax.Array, Sequence[str]], dict[str, jax.Array]]


def load(config, wanted: Sequence[str]) -> FeatureExtractor:
    """Loads the feature extractor that the config describes.

    Args:
      config: Its network (a name), weights (a file, 'random', or the workdir of a
        classifier that dlx trained), convention (the input convention of the weights),
        pooling (of a VGG) and seed (of random weights) are read.
      wanted: The names of the required layers. Weights of later layers are not read.

    Raises:
      UserError: if the network, the weights or a layer does not exist.
    """
    if not config.weights:
        raise UserError(
            "config.weights is missing; give a file of ImageNet weights (.safetensors, "
            ".npz, .pth), hf:OWNER/REPOSITORY/FILE, the workdir of a classifier that "
            f"dlx trained, or {RANDOM!r} (for textures only)"
        )
    if paths.path(config.weights).is_dir():
        return _trained_classifier(paths.path(config.weights), wanted)
    network = NETWORKS[config.network]
    if isinstance(network, vgg.VGG):
        network = network.clone(pooling=config.pooling)
    _require_layers(wanted, network.layers, config.network)
    params = _imagenet_params(config, network, wanted)
    scale = CONVENTIONS[config.convention]

    def features(params, images, names):
        return network.apply({"params": params}, scale(images), names)

    return FeatureExtractor(
        network.layers, network.receptive_fields(), params, features
    )


def _imagenet_params(config, network, wanted):
    """Initialises or reads the parameters of the required layers."""
    init_key = streams.key(config.seed, "weights")
    x = jnp.zeros((1, 224, 224, 3))
    if config.weights == RANDOM:
        logging.warning("random weights: the network can match textures, not objects")
        return jax.jit(lambda key: network.init(key, x, wanted)["params"])(init_key)
    shapes = jax.eval_shape(lambda key: network.init(key, x, wanted), init_key)
    arrays = weights.read(config.weights)
    source = f"{config.weights}, as weights of {config.network},"
    return weights.fit(arrays, shapes["params"], source)


def _trained_classifier(workdir, wanted):
    """Uses the convolutions of a classifier of colour images that dlx trained."""
    task = read_config(workdir).get("task")
    if task not in _CLASSIFIERS:
        raise UserError(f"{workdir} is a run of {task}, which is not a classifier")
    module = _CLASSIFIERS[task]
    run = restore.load(workdir, module.make)
    data, network, variables = module.abilities.features(run.config, run.state)
    if not hasattr(network, "layers"):
        raise UserError(
            f"{workdir} has a classifier without convolutions; use a convolutional one"
        )
    if data.shape[-1] != 3:
        raise UserError(
            f"{workdir} has a classifier of grey images; use one of colour images"
        )
    _require_layers(wanted, network.layers, str(workdir))

    def features(variables, images, names):
        x = run.state.scale(255 * images)
        return network.apply(variables, x, train=False, wanted=tuple(names))

    return FeatureExtractor(
        network.layers, network.receptive_fields(), variables, features
    )


def _require_layers(wanted, layers, network):
    for name in wanted:
        if name not in layers:
            raise UserError(
                f"{network} has no layer {name!r}; choose from: {', '.join(layers)}"
            )
