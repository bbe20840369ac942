"""A photograph as a painting (Gatys, Ecker and Bethge 2016).

python -m launch.main --config=configs/style.py --config.content=photo.jpg \\
    --config.style=painting.jpg --config.weights=squeezenet1_0_imagenet.safetensors

512 pixels take 62 s of training, 77 s with figures and what was compiled before, on two
cores of a shared AMD EPYC with JAX 0.10.2 (seed 0; on another 49 s). Of two photographs
in three styles each, with SqueezeNet 1.0, the style loss fell 354 to 1,275 times from
the photograph, while the content loss was 0.49 to 0.61 of the painting's own. With
Adam's state and memory as they are now, one of them was made again: 403 times and 0.47;
its whole loss is 1.38, for 1.65 before.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "style"
    config.seed = 0

    # The pictures: files, or skimage:NAME for a photograph of scikit-image's.
    config.content = "skimage:chelsea"
    config.style = "skimage:hubble_deep_field"  # several: with commas between
    config.blends = ()  # a picture for each row of weights of the styles; () for one
    config.mask = ""  # a picture that is white where the style is to go
    config.keep_colours = False  # the photograph's; only luminance is painted
    config.size = 512  # of the longer side, in pixels
    config.style_scale = 1.0  # the painting's longer side, in sizes
    config.margin = 16  # pixels mirrored all around, for what a network sees at edges
    config.tile = 0  # longest side of what is looked at at once; 0 for no limit

    # The network: its weights are a file, hf:OWNER/REPOSITORY/FILE, the workdir of a
    # classifier trained here, or 'random'.
    config.network = "squeezenet1_0"  # or squeezenet1_1, vgg16, vgg19
    config.weights = ""
    config.convention = "caffe"  # what pictures the weights want; or 'torchvision'
    config.pooling = "max"  # of a VGG; or 'average'

    # The losses: each layer's and each style's is about 1 for a picture of nothing.
    config.content_layers = ml_collections.ConfigDict({"fire4": 1.0})
    config.style_layers = ml_collections.ConfigDict(
        {"conv1": 1.0, "fire2": 1.0, "fire4": 0.5, "fire6": 0.2, "fire8": 0.1}
    )
    config.style_loss = "gram"  # or 'moments' or 'wasserstein'
    config.content_weight = 1.0
    config.style_weight = 100.0
    config.variation_weight = 1.0

    # The descent, as many steps at each scale; each is sqrt(2) times as large.
    config.start = "content"  # or 'noise' or 'grey'
    config.scales = 4
    config.optimizer = "adam"  # or 'lbfgs'
    config.learning_rate = 0.05
    config.last_learning_rate = 0.02  # share of it that is left in the end
    config.lbfgs_memory = 10
    config.average_decay = 0.9  # of the picture over steps

    # The run.
    config.num_steps = 400
    config.log_steps = 20
    config.eval_steps = 20
    config.checkpoint_steps = 100
    config.keep_checkpoints = 1
    config.parallel = "pmap"  # or "shard_map"
    return config
