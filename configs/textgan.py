"""A GAN of lines of text, whose characters are relaxed by Gumbel-softmax.

    python -m launch.main --config=configs/textgan.py
    python -m launch.main --config=configs/textgan.py:names --config.corpus=names.txt

This is Kusner and Hernandez-Lobato (2016) with convolutions. `:names` makes single
lines from a file that has one name a line. docs/measured.md has results.
"""

from typing import Literal

import ml_collections


def get_config(
    examples: Literal["text", "names"] = "text",
) -> ml_collections.ConfigDict:
    names = {"text": False, "names": True}[examples]
    config = ml_collections.ConfigDict()
    config.task = "gan"
    config.seed = 0

    # The data: 'images', 'sounds', 'spectrograms' or 'texts'.
    config.modality = "texts"
    config.corpus = ml_collections.config_dict.placeholder(str)  # Python's manual
    # 'lines': every line of the corpus; 'windows': all that begin with a word.
    config.examples = "lines" if names else "windows"
    config.length = 16 if names else 32  # characters
    config.words = ml_collections.config_dict.placeholder(str)  # a file of known words
    config.validation = 3000 if names else 0  # examples held out; 0 trains on all
    config.batch_size = 64

    # The generator: channels of each layer, from the shortest on.
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.latents = 128
    config.g_channels = (256, 128, 64)
    config.g_kernel = (5, 1)
    config.factor = (2, 1)  # upsampling of each layer in length and width
    config.temperature = 1.0  # of softmax outputs
    config.conditional = False  # whether samples depend on the class

    # The discriminators: channels of each layer of each discriminator.
    config.d_channels = ((64, 128, 256),)
    config.d_kernel = (5, 1)
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
    config.last_eval_samples = 3000 if names else 10_000
    return config
