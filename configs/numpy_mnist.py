"""Back-propagation by hand, in NumPy, on MNIST.

    python -m launch.main --config=configs/numpy_mnist.py

docs/measured.md has results; configs/sweeps/mnist.py compares classifiers of MNIST.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "numpy_mlp"
    config.seed = 0

    # The data: 'digits' needs no download; dlx/data/sources.py lists others.
    config.dataset = "mnist"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.image_size = ml_collections.config_dict.placeholder(int)  # original
    config.streamed = False  # True if the data do not fit on the device
    config.batch_size = 128
    config.shift = 1  # largest random shift in training, in pixels
    config.shift_fill = "black"  # or 'reflect'
    config.flip = "never"  # or 'random', or 'alternating' between epochs
    config.brightness = 0.0
    config.contrast = 0.0
    config.rotation = 0.0  # largest random angle in training, in degrees
    config.zoom = 0.0  # 0.1 makes images up to 10 % larger or smaller

    # The network: fully connected, these widths between pixels and classes.
    config.features = (256, 128)

    # The optimiser: SGD with momentum, its learning rate falling linearly to 0.
    config.learning_rate = 0.1
    config.momentum = 0.9
    config.weight_decay = 1e-4

    # The run.
    config.num_steps = 4690
    config.log_steps = 67
    config.eval_steps = 469
    config.checkpoint_steps = 469
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    return config
