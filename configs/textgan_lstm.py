"""A GAN of lines of text whose generator begins as a language model.

    python -m launch.main --config=configs/lm_text.py --workdir=runs/lm
    python -m launch.main --config=configs/textgan_lstm.py --config.pretrained=runs/lm

The generator writes character by character; gradients pass through drawn characters
by the straight-through Gumbel-softmax (Jang, Gu and Poole 2017). `:names` makes single
lines, from a run of `configs/lm_text.py:names` and a corpus that has one name a line.
docs/measured.md has results of both.
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

    # The data, as in configs/lm_text.py.
    config.modality = "texts"
    config.corpus = ml_collections.config_dict.placeholder(str)  # Python's manual
    # 'lines': every line of the corpus; 'windows': all that begin with a word.
    config.examples = "lines" if names else "windows"
    config.length = 16 if names else 32  # characters
    config.words = ml_collections.config_dict.placeholder(str)  # a file of known words
    config.validation = 3000 if names else 10_000  # examples held out
    config.batch_size = 64

    # The generator: units of each layer, those of the language model.
    config.g_network = "recurrent"  # or 'convolutions', as in configs/textgan.py
    config.pretrained = ml_collections.config_dict.placeholder(str)  # a run's workdir
    config.g_channels = (256,)
    config.temperature = 1.0  # of the softmax that gives the gradients
    config.conditional = False

    # The discriminators: channels of each layer of each discriminator.
    config.d_channels = ((64, 128, 256),)
    config.d_kernel = (5, 1)
    config.factor = (2, 1)  # strides in length and width
    config.d_norm = "none"  # or 'batch' or 'spectral'
    config.dropout = (0.0,)  # a rate for each discriminator
    config.d_features = ()  # dense layers after the convolutions
    config.minibatch_std = False
    config.packing = 1  # lines that form one input
    config.d_inputs = "same"  # or 'split', 'projection', 'channels'; see gan/inputs.py
    config.mixing = "mean"  # or 'max', 'softmax', 'learnt', 'hypervolume'
    config.mixing_strength = 1.0  # lambda of 'softmax'

    # The loss: 'minimax', 'non_saturating', 'least_squares', 'hinge', 'relativistic'.
    config.loss = "relativistic"
    config.r1 = 0.1  # gradient penalties, on real and on generated lines
    config.r2 = 0.1
    config.smoothing = 0.0  # one-sided label smoothing
    config.instance_noise = 0.0  # initial standard deviation; falls to 0
    config.diff_augment = ()
    config.d_steps = 4
    config.g_steps = 1

    # The optimisers, one for each player. The generator is nearly right already.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.g_learning_rate = 1e-4
    config.d_learning_rate = 1e-3
    config.adam_b1 = 0.5
    config.adam_b2 = 0.99
    config.schedule = "cosine"  # or 'linear' or 'constant'
    config.ema_decay = 0.99

    # The run.
    config.num_steps = 400
    config.log_steps = 20
    config.eval_steps = 100
    config.checkpoint_steps = 100
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_samples = 1000
    config.last_eval_samples = 3000 if names else 10_000
    return config
