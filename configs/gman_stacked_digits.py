"""Three digits as the colours of one image: 1,000 modes, and several discriminators.

    python -m launch.main --config=configs/gman_stacked_digits.py
    python -m launch.main --config=configs/gman_stacked_digits.py:quarter

The first has one discriminator of all channels, and three of one channel each. Its
26,000 samples cover all 1,000 modes with a KL to uniform of 0.085; real images have
0.024. FID in the reference classifier's features is 17.0; held-out real images have
16.1 (seed 0, 459 s on one core of a shared Intel Xeon, JAX 0.10.2). Without
minibatch_std: 999 modes, KL 0.164, FID 17.7.

`:quarter` has one discriminator of 438 parameters, three convolutions of 2, 4 and 8
channels: 1,000 modes, KL 0.167, FID 151 (seed 0, 326 s on a core of an AMD EPYC; the KL
was 0.139 with convolutions that rounded differently). Variants, after 1,500 steps: with
as many updates of the discriminator as of the generator 15 modes; with 4 times as many
860; with 10 times as many 974, KL 0.90; with these and minibatch_std 993, KL 0.58.
Three discriminators of (1, 2, 4) channels, 390 parameters, instead of the one: 1,000
modes, KL 0.168, FID 154. The one for 12,000 steps: 1,000 modes, KL 0.144, FID 155.

Variants of the first: seed 0, 4,000 steps, g_channels=(64, 32), KL of 5,000 samples
(real images have 0.1). One discriminator ((32, 64),) without its dense layer: 868
modes, KL 0.57, FID 208 (after 3,000 steps). With the dense layer: 930, 0.37, 147. With
the dense layer and packing=2: 904, 0.43, 166. With channels ((64, 128),): 966, 0.26,
135. One for all channels and one for each channel, ((32, 64),) * 4: 962, 0.26, 59.
"""

import ml_collections


def get_config(model: str = "several") -> ml_collections.ConfigDict:
    quarter = {"several": False, "quarter": True}[model]
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'pictures', 'sounds' or 'texts'.
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
    config.factor = (2, 2)  # of each layer, for height and width
    config.temperature = 1.0  # of softmax outputs
    config.conditional = False  # whether on the class

    # The discriminators: channels of each layer of each discriminator.
    several = ((64, 128), (32, 64), (32, 64), (32, 64))
    config.d_channels = ((2, 4, 8),) if quarter else several
    config.d_kernel = (3, 3)
    config.d_norm = "none"  # or 'batch' or 'spectral'
    config.dropout = (0.0,) * len(config.d_channels)  # of each discriminator
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
    config.smoothing = 0.0  # of the target of real images
    config.instance_noise = 0.0  # initial standard deviation; falls to 0
    config.diff_augment = ()  # any of 'translation', 'cutout', 'colour'
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
    config.reference_classifier = True  # a reference classifier, trained if missing
    config.eval_samples = 10_000
    config.last_eval_samples = 26_000  # as in the papers' tables
    return config
