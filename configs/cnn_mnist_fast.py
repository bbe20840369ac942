"""A convolutional network that learns MNIST in seconds.

    python -m launch.main --config=configs/cnn_mnist_fast.py

docs/measured.md has results; configs/sweeps/mnist.py compares classifiers of MNIST.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "classifier"
    config.seed = 0

    # The data: 'digits' needs no download; dlx/data/sources.py lists others.
    config.dataset = "mnist"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.image_size = ml_collections.config_dict.placeholder(int)  # original
    config.streamed = False  # True if the data do not fit on the device
    config.accumulate = 1  # micro-batches of a step, for less memory
    config.batch_size = 128
    config.shift = 1  # largest random shift in training, in pixels
    config.shift_fill = "black"  # or 'reflect'
    config.flip = "never"  # or 'random', or 'alternating' between epochs
    config.brightness = 0.0
    config.contrast = 0.0
    config.rotation = 0.0  # largest random angle in training, in degrees
    config.zoom = 0.0  # 0.1 makes images up to 10 % larger or smaller

    # The network; others are in dlx/vision/networks.py. `channels` are those of 'cnn'.
    config.network = "cnn"
    config.features = (128,)
    config.channels = (8, 32)
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.dropout = 0.0

    # The optimiser, warmed up, its learning rate falling as a cosine to 0.
    config.optimizer = "adamw"  # others are in dlx/optimizers.py
    config.learning_rate = 1e-2
    config.warmup_steps = 80
    config.weight_decay = 1e-2
    config.label_smoothing = 0.0
    config.ema_decay = 0.9

    # The run.
    config.num_steps = 536
    config.log_steps = 67
    config.eval_steps = 67
    config.checkpoint_steps = 536
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    return config
