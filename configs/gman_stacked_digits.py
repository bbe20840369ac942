"""Three digits as the colours of one: 1,000 modes, and several discriminators.

    python -m launch.main --config=configs/gman_stacked_digits.py
    python -m launch.main --config=configs/gman_stacked_digits.py:quarter

One discriminator sees all three, and three more a colour each. Of 26,000 samples there
are 1,000 modes of 1,000, with a KL to uniform of 0.085, where real ones have 0.024; FID
in the features of dlx's classifier 17.0, where real ones that were not trained on have
16.1 (seed 0, 459 s on one core of a shared Intel Xeon, JAX 0.10.2). Where they do not
see how much a batch's images differ (minibatch_std): 999 modes, 0.164, 17.7.

`:quarter` has one discriminator of 438 parameters, three convolutions of 2, 4 and 8
channels: 1,000 modes, KL 0.167, FID 151 (seed 0, 326 s on a core of an AMD EPYC; 0.139
with convolutions that rounded otherwise). What led there, 1,500 steps:
with as many updates as the generator 15 modes, with 4 for each of those 860, with 10
974, KL 0.90; and minibatch_std 993, 0.58. Three of (1, 2, 4) channels, 390 parameters,
instead of the one: 1,000 modes, 0.168, FID 154. The one for 12,000 steps: 1,000, 0.144,
FID 155.

What led to the first, seed 0, 4,000 steps, g_channels=(64, 32), KL of 5,000 samples
(for which real ones have 0.1): one discriminator ((32, 64),) without its dense layer
868 modes, KL 0.57, FID 208 (after 3,000 steps); with it 930, 0.37, 147; with packing=2
too 904, 0.43, 166; with channels ((64, 128),) 966, 0.26, 135; one for all and one for
each colour, ((32, 64),) * 4, 962, 0.26, 59.
"""

import ml_collections


def get_config(model: str = "several") -> ml_collections.ConfigDict:
    quarter = {"several": False, "quarter": True}[model]
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'pictures', 'sounds' or 'texts'.
    config.kind = "pictures"
    config.dataset = "stacked_digits"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's own
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.image_size = ml_collections.config_dict.placeholder(int)  # as they are
    config.streamed = False  # for what does not fit on the device
    config.batch_size = 64

    # The generator: channels from the smallest image on.
    config.latents = 64
    config.g_channels = (128, 64)
    config.g_kernel = (3, 3)
    config.factor = (2, 2)  # how many times as high, and wide, a layer makes the image
    config.temperature = 1.0  # of softmax outputs
    config.conditional = False  # on the class

    # The discriminators: channels of each layer of each of them.
    several = ((64, 128), (32, 64), (32, 64), (32, 64))
    config.d_channels = ((2, 4, 8),) if quarter else several
    config.d_kernel = (3, 3)
    config.d_norm = "none"  # or 'batch' or 'spectral'
    config.dropout = (0.0,) * len(config.d_channels)  # of each of them
    config.d_features = () if quarter else (256,)  # dense layers after those
    config.minibatch_std = True
    config.packing = 1  # images that are judged as one
    # The first sees all, the others a colour each; or 'same', 'split', 'projection'.
    config.views = "same" if quarter else "channels"
    config.mixing = "mean"  # or 'max', 'softmax', 'learnt', 'hypervolume'
    config.mixing_strength = 1.0  # lambda of 'softmax'

    # The game: 'minimax', 'non_saturating', 'least_squares', 'hinge', 'relativistic'.
    config.loss = "relativistic"
    config.r1 = 1.0  # gradient penalties, on real and on generated images
    config.r2 = 1.0
    config.smoothing = 0.0  # of the target for real images, one-sided
    config.instance_noise = 0.0  # deviation at first; falls to 0 over the run
    config.diff_augment = ()  # of 'translation', 'cutout', 'colour'
    config.d_steps = 10 if quarter else 1
    config.g_steps = 1

    # The optimisers: Adam, one for each side.
    config.g_learning_rate = 2e-4 if quarter else 1e-3
    config.d_learning_rate = 2e-3 if quarter else 1e-3
    config.adam_b1 = 0.5
    config.adam_b2 = 0.99
    config.schedule = "cosine"  # or 'constant'
    config.ema_decay = 0.999

    # The run.
    config.num_steps = 6000 if quarter else 12_000
    config.log_steps = 100
    config.eval_steps = 1000
    config.checkpoint_steps = 2000
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.judge = True  # a classifier of the data set, trained if there is none yet
    config.eval_samples = 10_000
    config.last_eval_samples = 26_000  # as the papers' tables
    return config
