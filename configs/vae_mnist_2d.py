"""A variational autoencoder of MNIST with two latent dimensions, for a latent map.

    python -m launch.main --config=configs/vae_mnist_2d.py

docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "vae"
    config.seed = 0

    # The data: 'digits' needs no download; dlx/data/sources.py lists others.
    config.dataset = "mnist"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.streamed = False  # True if the data do not fit on the device
    config.accumulate = 1  # micro-batches of a step, for less memory
    config.batch_size = 250

    # The model: dense layers between pixels and latents. Convolutions, if any, lie
    # between the pixels and the dense layers; each halves the image.
    config.latents = 2
    config.features = (200, 200)
    config.gated = False  # gated linear units instead of tanh
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.channels = ()

    # The objective: the ELBO ('vae'), or the bound of Burda et al. ('iwae').
    config.objective = "vae"
    config.samples = 1  # latent samples per image
    config.warmup_steps = 0  # over which the KL's weight rises to 1
    config.free_bits = 0.0  # nats of KL in each dimension that are not penalised

    # The optimiser, its learning rate falling as a cosine to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 2e-3
    config.adam_epsilon = 1e-4

    # The run.
    config.num_steps = 12_000
    config.log_steps = 240
    config.eval_steps = 2400
    config.checkpoint_steps = 2400
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_samples = 50
    config.last_eval_samples = 5000  # as in the papers
    # True: the last evaluation also measures samples, as GANs and flows are measured.
    config.reference_classifier = False
    return config
