"""A feed-forward network that stylises images in one style (Johnson et al. 2016).

    python -m launch.main --config=configs/fast_style.py --config.style=painting.jpg \\
        --config.dataset=folder:photographs --config.weights=squeezenet1_0.safetensors
    python -m launch.stylize --workdir=RUN *.jpg

docs/style.md describes weights and losses; docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "fast_style"
    config.seed = 0

    # The data: photographs of a folder (folder:PATH), TFDS or scikit-image.
    config.dataset = "photographs"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.image_size = 256  # from which random squares of `crop` are cut
    config.crop = 192
    config.streamed = False  # True if the data do not fit on the device
    config.batch_size = 4
    config.style = "skimage:hubble_deep_field"
    config.style_scale = 1.0  # the painting's longer side, relative to `crop`

    # The stylizer: channels at full, half and quarter resolution.
    config.channels = (16, 32, 64)
    config.blocks = 5

    # The feature network and the losses; see configs/style.py.
    config.network = "squeezenet1_0"
    config.weights = ""
    config.convention = "caffe"
    config.pooling = "max"
    config.content_layers = ml_collections.ConfigDict({"fire5": 1.0})
    config.style_layers = ml_collections.ConfigDict(
        {"conv1": 1.0, "fire2": 1.0, "fire4": 1.0, "fire6": 1.0, "fire8": 1.0}
    )
    config.style_loss = "gram"
    config.content_weight = 1.0
    config.style_weight = 10.0
    config.variation_weight = 1.0
    config.keep_colours = False
    config.margin = 0
    config.tile = 0

    # The optimiser, its learning rate falling linearly to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 3e-3
    config.max_grad_norm = 1.0

    # The run.
    config.num_steps = 2000
    config.log_steps = 20
    config.eval_steps = 200
    config.checkpoint_steps = 200
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_images = 8
    return config
