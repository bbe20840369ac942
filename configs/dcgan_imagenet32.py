"""A DCGAN of ImageNet's classes, 32x32 pixels.

    python -m launch.main --config=configs/dcgan_imagenet32.py  # a GPU
    python -m launch.main --config=configs/dcgan_imagenet32.py:small \\
        --config.dataset=tiny_imagenet20 --config.data_dir=DIRECTORY  # hours on a CPU

TFDS downloads imagenet_resized. With --config.reference_weights=FILE, SqueezeNet's
weights, it names the classes of samples. docs/measured.md has results of the second
command; the first has not been trained.
"""

from typing import Literal

import ml_collections


def get_config(size: Literal["full", "small"] = "full") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'images', 'sounds', 'spectrograms' or 'texts'.
    config.modality = "images"
    config.dataset = "imagenet_resized/32x32"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.image_size = 32
    config.streamed = size == "full"  # True if the data do not fit on the device
    config.batch_size = {"full": 64, "small": 32}[size]

    # The generator: channels of each layer, from the smallest image on.
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.latents = 128
    config.g_channels = {"full": (512, 256, 128), "small": (256, 128, 64)}[size]
    config.g_kernel = (3, 3)
    config.factor = (2, 2)  # upsampling of each layer in height and width
    config.temperature = 1.0  # of softmax outputs
    config.conditional = True  # whether samples depend on the class

    # The discriminators: channels of each layer of each discriminator.
    config.d_channels = {"full": ((128, 256, 512),), "small": ((64, 128, 256),)}[size]
    config.d_kernel = (4, 4)
    config.d_norm = "none"  # or 'batch' or 'spectral'
    config.dropout = (0.0,)  # a rate for each discriminator
    config.d_features = ()  # dense layers after the convolutions
    config.minibatch_std = False
    config.packing = 1  # images that form one input
    config.d_inputs = "same"  # or 'split', 'projection', 'channels'; see gan/inputs.py
    config.mixing = "mean"  # or 'max', 'softmax', 'learnt', 'hypervolume'
    config.mixing_strength = 1.0  # lambda of 'softmax'

    # The loss: 'minimax', 'non_saturating', 'least_squares', 'hinge', 'relativistic'.
    config.loss = "relativistic"
    config.r1 = 1.0  # gradient penalties, on real and on generated images
    config.r2 = 1.0
    config.smoothing = 0.0  # one-sided label smoothing
    config.instance_noise = 0.0  # initial standard deviation; falls to 0
    # Any of 'flip', 'translation', 'cutout', 'colour'.
    config.diff_augment = {"full": ("flip",), "small": ("flip", "translation")}[size]
    config.d_steps = 1
    config.g_steps = 1

    # The optimisers, one for each player.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.g_learning_rate = 2e-4
    config.d_learning_rate = 2e-4
    config.adam_b1 = 0.5
    config.adam_b2 = 0.99
    config.schedule = "constant"  # or 'linear' or 'cosine'
    config.ema_decay = 0.999

    # The run.
    config.num_steps = 100_000
    config.log_steps = 500
    config.eval_steps = 5000
    config.checkpoint_steps = 5000
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.reference_classifier = False  # a small one would not learn ImageNet
    config.reference_weights = ml_collections.config_dict.placeholder(str)  # SqueezeNet
    config.eval_samples = 1000
    config.last_eval_samples = 10_000
    return config
