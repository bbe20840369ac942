"""A DCGAN of MNIST, 28x28 pixels.

python -m launch.main --config=configs/dcgan_mnist.py

Seeds 0 to 4: none collapses; of 10,000 samples every digit has 6.7 % or more (at most
14.9 %); FID in the features of dlx's classifier 47.2 to 51.3, where real digits that
were not trained on have 0.9 to 1.0; 376 s of training at best, on one core of a shared
Intel Xeon (seeds 0 to 3; 4 on an AMD EPYC), JAX 0.10.2.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'pictures', 'sounds' or 'texts'.
    config.kind = "pictures"
    config.dataset = "mnist"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's own
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.image_size = ml_collections.config_dict.placeholder(int)  # as they are
    config.streamed = False  # for what does not fit on the device
    config.batch_size = 64

    # The generator: channels from the smallest image on.
    config.latents = 64
    config.g_channels = (64, 32)
    config.g_kernel = (3, 3)
    config.factor = (2, 2)  # how many times as high, and wide, a layer makes the image
    config.temperature = 1.0  # of softmax outputs
    config.conditional = False  # on the class

    # The discriminators: channels of each layer of each of them.
    config.d_channels = ((32, 64),)
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
    config.g_learning_rate = 1e-3
    config.d_learning_rate = 1e-3
    config.adam_b1 = 0.5
    config.adam_b2 = 0.99
    config.schedule = "cosine"  # or 'constant'
    config.ema_decay = 0.999

    # The run.
    config.num_steps = 4700  # 5 epochs
    config.log_steps = 94
    config.eval_steps = 940
    config.checkpoint_steps = 940
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.judge = True  # a classifier of the data set, trained if there is none yet
    config.eval_samples = 1000
    config.last_eval_samples = 10_000
    return config
