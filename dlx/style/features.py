"""Networks that look at pictures, and what their layers see."""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from absl import logging
import jax
import jax.numpy as jnp
import numpy as np

from dlx import paths, streams
from dlx.errors import UserError, require_one_of
from dlx.models.receptive_field import Reach
from dlx.style import weights
from dlx.style.networks import squeezenet, vgg

_CAFFE = np.array([[[[103.939, 116.779, 123.68]]]], np.float32)  # BGR, of 0 ... 255
_MEAN = np.array([[[[0.485, 0.456, 0.406]]]], np.float32)  # RGB, of 0 ... 1
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


@dataclasses.dataclass(frozen=True)
class Perception:
    """A network with its weights.

    Attributes:
      layers: Names of all its layers.
      reach: What each layer's features see of a picture.
      variables: The weights.
      look: (variables, pictures [batch, height, width, 3] float32 in [0, 1], names of
        layers) -> {name: [batch, height', width', channels] float32}. Pure.
    """

    layers: tuple[str, ...]
    reach: dict[str, Reach]
    variables: Any
    look: Callable[[Any, jax.Array, Sequence[str]], dict[str, jax.Array]]


def load(config, wanted: Sequence[str]) -> Perception:
    """The network that the config describes.

    Args:
      config: Its network; weights: a file, 'random', or the workdir of a classifier
        that dlx trained; convention: how the weights want pictures; pooling of a VGG;
        seed, of random weights.
      wanted: Layers whose features will be wanted; weights beyond are not.

    Raises:
      UserError: where there is no such network, weights or layer.
    """
    if not config.weights:
        raise UserError(
            "config.weights says where an ImageNet network's weights are: a file "
            "(.safetensors, .npz, .pth), hf:OWNER/REPOSITORY/FILE, the workdir of a "
            f"classifier trained here, or {RANDOM!r}, for textures only"
        )
    if paths.path(config.weights).is_dir():
        return _trained(paths.path(config.weights), wanted)
    require_one_of(config, "network", tuple(NETWORKS))
    require_one_of(config, "convention", tuple(CONVENTIONS))
    require_one_of(config, "pooling", tuple(vgg.POOLS))
    network = NETWORKS[config.network]
    if isinstance(network, vgg.VGG):
        network = network.clone(pooling=config.pooling)
    _require_layers(wanted, network.layers, config.network)
    init_key = streams.key(config.seed, "weights")
    x = jnp.zeros((1, 224, 224, 3))
    if config.weights == RANDOM:
        logging.warning("a network of random weights: it knows textures, no things")
        params = jax.jit(lambda key: network.init(key, x, wanted)["params"])(init_key)
    else:
        shapes = jax.eval_shape(lambda key: network.init(key, x, wanted), init_key)
        arrays = weights.read(config.weights)
        source = f"{config.weights}, as weights of {config.network},"
        params = weights.fit(arrays, shapes["params"], source)
    scale = CONVENTIONS[config.convention]

    def look(params, pictures, names):
        return network.apply({"params": params}, scale(pictures), names)

    return Perception(network.layers, network.reach(), params, look)


def _trained(workdir, wanted):
    """The convolutions of a classifier of colour images that dlx trained."""
    from dlx import tasks
    from dlx.runtime import restore

    run = restore.load(workdir)
    module = tasks.module(run.config)
    if not hasattr(module, "feature_extractor"):
        raise UserError(f"{workdir} is a run of {run.config.task}: no classifier")
    data, network, variables = module.feature_extractor(run.config, run.state)
    if not hasattr(network, "layers"):
        raise UserError(f"{workdir} has a classifier without convolutions")
    if data.shape[-1] != 3:
        raise UserError(f"{workdir} has a classifier of grey images")
    _require_layers(wanted, network.layers, str(workdir))

    def look(variables, pictures, names):
        x = run.state.scale(255 * pictures)
        return network.apply(variables, x, train=False, wanted=tuple(names))

    return Perception(network.layers, network.reach(), variables, look)


def _require_layers(wanted, layers, network):
    for name in wanted:
        if name not in layers:
            raise UserError(
                f"{network} has no layer {name!r}; there are: {', '.join(layers)}"
            )
