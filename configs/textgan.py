"""A GAN of lines of text, whose characters are relaxed by Gumbel-softmax.

python -m launch.main --config=configs/textgan.py

This is Kusner and Hernandez-Lobato (2016) with convolutions. The output resembles
English but has no real words. The corpus is now Python's manual, on which it has not
been measured yet. The figures below are of an earlier corpus, dlx's own text: 4-gram
precision 40.6 %, equal to that of a bigram Markov chain (40 %); a trigram Markov chain
had 75 %, and launch's text 89 %. All of 10,000 lines were distinct (seed 0, 437 s on
one core of a shared AMD EPYC, JAX 0.10.2).

Variants were little or no better after 1,000 or 1,500 steps, when this config had 37.9
%: r1 and r2 of 0.1 37.1 %; with these d_features=(256,) 37.0, d_channels=((256, 256,
256),) 37.5, g_channels=(256, 256, 256) 23.2, temperature=0.5 30.1, instance_noise=0.3
30.9, d_steps=3 40.0, d_steps=3 and g_learning_rate=2e-4 32.5, no strides (factor=(1,
1), 128 channels each) 39.8, hard characters with the gradients of soft ones 10.0.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'pictures', 'sounds' or 'texts'.
    config.modality = "texts"
    config.corpus = ml_collections.config_dict.placeholder(str)  # Python's manual
    config.length = 32  # characters
    config.batch_size = 64

    # The generator: channels of each layer, from the shortest on.
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.latents = 128
    config.g_channels = (256, 128, 64)
    config.g_kernel = (5, 1)
    config.factor = (2, 1)  # of each layer, for length and width
    config.temperature = 1.0  # of softmax outputs
    config.conditional = False  # whether on the class

    # The discriminators: channels of each layer of each discriminator.
    config.d_channels = ((64, 128, 256),)
    config.d_kernel = (5, 1)
    config.d_norm = "none"  # or 'batch' or 'spectral'
    config.dropout = (0.0,)  # of each discriminator
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
    config.smoothing = 0.0  # of the target of real images
    config.instance_noise = 0.0  # initial standard deviation; falls to 0
    config.diff_augment = ()  # any of 'translation', 'cutout', 'colour'
    config.d_steps = 1
    config.g_steps = 1

    # The optimisers, one for each player.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.g_learning_rate = 1e-3
    config.d_learning_rate = 1e-3
    config.adam_b1 = 0.5
    config.adam_b2 = 0.99
    config.schedule = "cosine"  # or 'linear' or 'constant'
    config.ema_decay = 0.999

    # The run.
    config.num_steps = 10_000
    config.log_steps = 100
    config.eval_steps = 1000
    config.checkpoint_steps = 2000
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_samples = 1000
    config.last_eval_samples = 10_000
    return config
