"""A WaveGAN of spoken digits, half a second at 8 kHz, for a GPU.

python -m launch.main --config=configs/wavegan_digits.py

Donahue, McAuley and Puckette (2019), a quarter as long. TFDS fetches spoken_digit. Not
measured: it cannot be had where this was written. Its loading is tested on tones.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'pictures', 'sounds' or 'texts'.
    config.kind = "sounds"
    config.dataset = "spoken_digit"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's own
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.length = 4096  # samples
    config.batch_size = 64

    # The generator: channels from the shortest on.
    config.latents = 100
    config.g_channels = (512, 256, 128, 64)
    config.g_kernel = (25, 1)
    config.factor = (4, 1)  # how many times as long, and wide, a layer makes the sound
    config.temperature = 1.0  # of softmax outputs
    config.conditional = False  # on the class

    # The discriminators: channels of each layer of each of them.
    config.d_channels = ((64, 128, 256, 512),)
    config.d_kernel = (25, 1)
    config.d_norm = "none"  # or 'batch' or 'spectral'
    config.dropout = (0.0,)  # of each of them
    config.d_features = ()  # dense layers after those
    config.minibatch_std = False
    config.packing = 1  # images that are judged as one
    config.views = (
        "same"  # or 'split', 'projection', 'channels'; see dlx/generative/gan/inputs.py
    )
    config.mixing = "mean"  # or 'max', 'softmax', 'learnt', 'hypervolume'
    config.mixing_strength = 1.0  # lambda of 'softmax'

    # The game: 'minimax', 'non_saturating', 'least_squares', 'hinge', 'relativistic'.
    config.loss = "relativistic"
    config.r1 = 1.0  # gradient penalties, on real and on generated images
    config.r2 = 1.0
    config.smoothing = 0.0  # of the target for real images, one-sided
    config.instance_noise = 0.0  # deviation at first; falls to 0 over the run
    config.diff_augment = ()  # of 'translation', 'cutout', 'colour'
    config.d_steps = 1
    config.g_steps = 1

    # The optimisers: Adam, one for each side.
    config.g_learning_rate = 1e-4
    config.d_learning_rate = 1e-4
    config.adam_b1 = 0.5
    config.adam_b2 = 0.99
    config.schedule = "cosine"  # or 'constant'
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
