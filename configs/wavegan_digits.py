"""A WaveGAN of spoken digits, half a second at 8 kHz, for a GPU.

    python -m launch.main --config=configs/wavegan_digits.py

This is Donahue, McAuley and Puckette (2019) at a quarter of the length. TFDS downloads
spoken_digit. There are no measured results; configs/flow_spoken.py learns the same
sounds as spectrograms.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'images', 'sounds', 'spectrograms' or 'texts'.
    config.modality = "sounds"
    config.dataset = "spoken_digit"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.length = 4096  # samples
    config.batch_size = 64

    # The generator: channels of each layer, from the shortest on.
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.latents = 100
    config.g_channels = (512, 256, 128, 64)
    config.g_kernel = (25, 1)
    config.factor = (4, 1)  # upsampling of each layer in length and width
    config.temperature = 1.0  # of softmax outputs
    config.conditional = False  # whether samples depend on the class

    # The discriminators: channels of each layer of each discriminator.
    config.d_channels = ((64, 128, 256, 512),)
    config.d_kernel = (25, 1)
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
    config.diff_augment = ()  # of 'flip', 'translation', 'cutout', 'colour'
    config.d_steps = 1
    config.g_steps = 1

    # The optimisers, one for each player.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.g_learning_rate = 1e-4
    config.d_learning_rate = 1e-4
    config.adam_b1 = 0.5
    config.adam_b2 = 0.99
    config.schedule = "cosine"  # or 'linear' or 'constant'
    config.ema_decay = 0.999

    # The run.
    config.num_steps = 100_000
    config.log_steps = 500
    config.eval_steps = 5000
    config.checkpoint_steps = 5000
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_samples = 1000
    config.last_eval_samples = 2000
    return config
