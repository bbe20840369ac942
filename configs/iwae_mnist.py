"""An importance-weighted autoencoder of MNIST.

python -m launch.main --config=configs/iwae_mnist.py

Not measured yet.
"""

import ml_collections


def get_config(model: str = "gated") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "vae"
    config.seed = 0

    # The data: 'digits' needs no download; see dlx/data/sources.py for others.
    config.dataset = "mnist"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's own
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.streamed = False  # for what does not fit on the device
    config.batch_size = 100

    # The model: dense layers between pixels and latents, with convolutions, if any,
    # between them and the pixels, each of which halves the image.
    config.latents = 50
    config.features = {"gated": (300, 300), "paper": (200, 200), "conv": (300,)}[model]
    config.gated = model != "paper"  # each with a gate of its own, instead of tanh
    config.channels = (32, 64) if model == "conv" else ()

    # The objective: the ELBO, 'vae', or Burda et al.'s bound, 'iwae'.
    config.objective = "iwae"
    config.samples = 50  # of each image's latents
    config.warmup_steps = 0  # over which the KL comes to count
    config.free_bits = 0.0  # nats of KL in each dimension that cost nothing more

    # The optimiser: Adam, its learning rate falling as a cosine to 0.
    config.learning_rate = 2e-3
    config.adam_epsilon = 1e-4

    # The run.
    config.num_steps = 48_000
    config.log_steps = 240
    config.eval_steps = 4800
    config.checkpoint_steps = 4800
    config.keep_checkpoints = 2
    config.eval_samples = 50
    config.last_eval_samples = 5000  # what papers measure
    return config
