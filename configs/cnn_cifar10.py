"""A small convolutional network on CIFAR-10, as accurate as TensorFlow's tutorial.

    python -m launch.main --config=configs/cnn_cifar10.py

Images are cropped and flipped, and brightness and contrast changed, as in the tutorial.
Network and recipe are those of configs/airbench_cifar10.py, with fewer layers and at
half the resolution. docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "airbench"
    config.seed = 0

    # The data; dlx/data/sources.py lists others.
    config.dataset = "cifar10"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.image_size = ml_collections.config_dict.placeholder(int)  # original
    config.streamed = False  # True if the data do not fit on the device
    config.batch_size = 512
    config.shift = 2  # largest random shift in training, in pixels
    config.shift_fill = "reflect"  # or 'black'
    config.flip = "alternating"  # between epochs; or 'random', or 'never'
    config.brightness = 0.1
    config.contrast = 0.1
    config.rotation = 0.0  # largest random angle in training, in degrees
    config.zoom = 0.0  # 0.1 makes images up to 10 % larger or smaller

    # The network: size and stride of whitened patches; channels of each group.
    config.patch = 3
    config.patch_stride = 2
    config.widths = (64, 128)
    config.dtype = "float32"  # or 'bfloat16', for a GPU

    # The optimiser on summed losses; Nesterov SGD's rate is for 1,024 examples.
    config.optimizer = "sgd"  # others are in dlx/optimizers.py
    config.learning_rate = 11.5
    config.bias_scale = 64.0  # factor of the biases' learning rate
    config.momentum = 0.85
    config.weight_decay = 0.0153
    config.label_smoothing = 0.2

    # The run.
    config.num_steps = 532  # 5.4 epochs
    config.whiten_bias_steps = 0  # no bias
    config.log_steps = 7
    config.eval_steps = 133  # each evaluates 60,000 views
    config.checkpoint_steps = 133
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    return config
