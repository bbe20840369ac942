"""A variational autoencoder of MNIST with two latent dimensions, for the map.

python -m launch.main --config=configs/vae_mnist_2d.py

135.72 nats on the test split with --config.last_eval_samples=50 (seed 0), after 108 s
of training on one core of a shared Intel Xeon with JAX 0.10.2.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "vae"
    config.seed = 0

    # The data: 'digits' needs no download; see dlx/data/sources.py for others.
    config.dataset = "mnist"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's own
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.streamed = False  # for what does not fit on the device
    config.batch_size = 250

    # The model: dense layers between pixels and latents, with convolutions, if any,
    # between them and the pixels, each of which halves the image.
    config.latents = 2
    config.features = (200, 200)
    config.gated = False  # each with a gate of its own, instead of tanh
    config.channels = ()

    # The objective: the ELBO, 'vae', or Burda et al.'s bound, 'iwae'.
    config.objective = "vae"
    config.samples = 1  # of each image's latents
    config.warmup_steps = 0  # over which the KL comes to count
    config.free_bits = 0.0  # nats of KL in each dimension that cost nothing more

    # The optimiser: Adam, its learning rate falling as a cosine to 0.
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
    config.last_eval_samples = 5000  # what papers measure
    return config
