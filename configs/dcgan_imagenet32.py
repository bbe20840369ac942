"""A DCGAN of ImageNet's thousand classes, 32x32 pixels, for a GPU.

python -m launch.main --config=configs/dcgan_imagenet32.py

TFDS fetches imagenet_resized. Not measured: it cannot be had where this was written.
Its loading is tested on pictures of the same features.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'pictures', 'sounds' or 'texts'.
    config.kind = "pictures"
    config.dataset = "imagenet_resized/32x32"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's own
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.image_size = ml_collections.config_dict.placeholder(int)  # as they are
    config.streamed = True  # for what does not fit on the device
    config.batch_size = 64

    # The generator: channels from the smallest image on.
    config.latents = 128
    config.g_channels = (512, 256, 128)
    config.g_kernel = (3, 3)
    config.factor = (2, 2)  # how many times as high, and wide, a layer makes the image
    config.temperature = 1.0  # of softmax outputs
    config.conditional = True  # on the class

    # The discriminators: channels of each layer of each of them.
    config.d_channels = ((128, 256, 512),)
    config.d_kernel = (4, 4)
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
    config.g_learning_rate = 2e-4
    config.d_learning_rate = 2e-4
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
    config.judge = False  # a classifier of these would be another project
    config.eval_samples = 1000
    config.last_eval_samples = 10_000
    return config
