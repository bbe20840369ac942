"""Style transfer by optimisation of an image (Gatys, Ecker and Bethge 2016).

    python -m launch.main --config=configs/style.py --config.content=photo.jpg \\
        --config.style=painting.jpg --config.weights=squeezenet1_0_imagenet.safetensors
    python -m launch.main --config=configs/style.py:vgg16 \\
        --config.weights=vgg16.safetensors  # their own layers and pooling

docs/style.md describes weights, losses and tiles; docs/measured.md has results.
"""

from typing import Literal

import ml_collections

# {network: (the pooling of a VGG, style weight, content layers, style layers)}, with
# the layers' weights. Gatys, Ecker and Bethge (section 3) use these layers of VGG-19.
_NETWORKS = {
    "squeezenet1_0": (
        "max",
        100.0,
        {"fire4": 1.0},
        {"conv1": 1.0, "fire2": 1.0, "fire4": 0.5, "fire6": 0.2, "fire8": 0.1},
    ),
    "vgg16": (
        "average",
        10.0,  # with 100 houses dissolve
        {"relu4_2": 1.0},
        {f"relu{block}_1": 1.0 for block in range(1, 6)},
    ),
}


def get_config(
    network: Literal["squeezenet1_0", "vgg16"] = "squeezenet1_0",
) -> ml_collections.ConfigDict:
    pooling, style_weight, content_layers, style_layers = _NETWORKS[network]
    config = ml_collections.ConfigDict()
    config.task = "style"
    config.seed = 0

    # The images: files, or skimage:NAME for a photograph in scikit-image.
    config.content = "skimage:chelsea"
    config.style = "skimage:hubble_deep_field"  # several are separated by commas
    config.blends = ()  # an image for each row of style weights; () for one
    config.mask = ""  # an image that is white where the style is applied
    config.keep_colours = False  # whether only the luminance is stylised
    config.size = 512  # pixels of the longer side
    config.style_scale = 1.0  # the painting's longer side, relative to `size`
    config.margin = 16  # pixels of mirrored padding on all sides
    config.tile = 0  # longest side of a tile in pixels; 0 for no tiles

    # The feature network. Its weights are a file, hf:OWNER/REPOSITORY/FILE, the workdir
    # of a classifier trained by dlx, or 'random'.
    config.network = network  # squeezenet1_0, squeezenet1_1, vgg16 or vgg19
    config.weights = ""
    config.convention = "caffe"  # the weights' input scaling; or 'torchvision'
    config.pooling = pooling  # of a VGG: 'max' or 'average'

    # The losses: the loss of each layer and style is about 1 for a blank image.
    config.content_layers = ml_collections.ConfigDict(content_layers)
    config.style_layers = ml_collections.ConfigDict(style_layers)
    config.style_loss = "gram"  # or 'moments' or 'wasserstein'
    config.content_weight = 1.0
    config.style_weight = style_weight
    config.variation_weight = 1.0

    # The optimisation: equal steps at each scale, each sqrt(2) times as large.
    config.start = "content"  # or 'noise' or 'grey'
    config.scales = 4
    config.optimizer = "adam"  # or 'lbfgs'; others are in dlx/optimizers.py
    config.learning_rate = 0.05
    config.last_learning_rate = 0.02  # at the end, as a share of learning_rate
    config.lbfgs_memory = 10
    config.average_decay = 0.9  # of the image's moving average

    # The run.
    config.num_steps = 400
    config.log_steps = 20
    config.eval_steps = 20
    config.checkpoint_steps = 100
    config.keep_checkpoints = 1
    config.parallel = "pmap"  # or "shard_map"
    return config
