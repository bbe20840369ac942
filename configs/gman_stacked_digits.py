"""Three digits as the colours of one image: 1,000 modes, and several discriminators.

    python -m launch.main --config=configs/gman_stacked_digits.py
    python -m launch.main --config=configs/gman_stacked_digits.py:quarter

The first has one discriminator of all channels, and three of one channel each.
`:quarter` has a single discriminator of 438 parameters, three convolutions of 2, 4 and
8 channels, which is updated ten times as often as the generator. docs/gans.md has
results and variants; configs/sweeps/discriminators.py compares numbers of
discriminators and ways to combine their losses.
"""

from typing import Literal

import ml_collections


def get_config(
    model: Literal["several", "quarter"] = "several",
) -> ml_collections.ConfigDict:
    quarter = {"several": False, "quarter": True}[model]
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'images', 'sounds', 'spectrograms' or 'texts'.
    config.modality = "images"
    config.dataset = "stacked_digits"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.image_size = ml_collections.config_dict.placeholder(int)  # original
    config.streamed = False  # True if the data do not fit on the device
    config.batch_size = 64

    # The generator: channels of each layer, from the smallest image on.
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.latents = 64
    config.g_channels = (128, 64)
    config.g_kernel = (3, 3)
    config.factor = (2, 2)  # upsampling of each layer in height and width
    config.temperature = 1.0  # of softmax outputs
    config.conditional = False  # whether samples depend on the class

    # The discriminators: channels of each layer of each discriminator.
    several = ((64, 128), (32, 64), (32, 64), (32, 64))
    config.d_channels = ((2, 4, 8),) if quarter else several
    config.d_kernel = (3, 3)
    config.d_norm = "none"  # or 'batch' or 'spectral'
    config.dropout = (0.0,) * len(config.d_channels)  # a rate for each discriminator
    config.d_features = () if quarter else (256,)  # dense layers after the convolutions
    config.minibatch_std = True
    config.packing = 1  # images that form one input
    # The first has all channels, each other only one; or 'same', 'split', 'projection'.
    config.d_inputs = "same" if quarter else "channels"
    config.mixing = "mean"  # or 'max', 'softmax', 'learnt', 'hypervolume'
    config.mixing_strength = 1.0  # lambda of 'softmax'

    # The loss: 'minimax', 'non_saturating', 'least_squares', 'hinge', 'relativistic'.
    config.loss = "relativistic"
    config.r1 = 1.0  # gradient penalties, on real and on generated images
    config.r2 = 1.0
    config.smoothing = 0.0  # one-sided label smoothing
    config.instance_noise = 0.0  # initial standard deviation; falls to 0
    config.diff_augment = ()  # of 'flip', 'translation', 'cutout', 'colour'
    config.d_steps = 10 if quarter else 1
    config.g_steps = 1

    # The optimisers, one for each player.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.g_learning_rate = 2e-4 if quarter else 1e-3
    config.d_learning_rate = 2e-3 if quarter else 1e-3
    config.adam_b1 = 0.5
    config.adam_b2 = 0.99
    config.schedule = "cosine"  # or 'linear' or 'constant'
    config.ema_decay = 0.999

    # The run.
    config.num_steps = 6000 if quarter else 12_000
    config.log_steps = 100
    config.eval_steps = 1000
    config.checkpoint_steps = 2000
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.reference_classifier = True  # measures samples; trained if missing
    config.eval_samples = 10_000
    config.last_eval_samples = 26_000  # as in the papers' tables
    return config
