"""A variational autoencoder of MNIST.

    python -m launch.main --config=configs/vae_mnist.py
    python -m launch.main --config=configs/vae_mnist.py:paper  # 784-200-200-50, tanh

The negative log-likelihood of the test split at the last step is 85.66 nats with 5,000
samples per image (seed 0 alone), with 18 active units, after 657 s of training on one
core of a shared Intel Xeon with JAX 0.10.2. This measurement took another 17 minutes
beside other work. The reference classifier (`launch.latent classify`) classifies
98.4 % of reconstructions correctly; each digit makes up 6.6 to 14.0 % of samples.

Variants: seed 0, 12,000 steps, nats with 50 samples, seconds on one core. Layers of
tanh (200, 200): 92.98, 116 s. Gated (200, 200): 89.78, 135 s. Gated (300, 300): 88.30,
202 s. The last with a learning rate of 4e-3: 88.47; with a warm-up of the KL over 4,000
steps: 89.53; with the IWAE's objective and 5 samples for 4,800 steps: 89.84, 240 s. The
paper's model with 48,000 steps: 88.53 with 5,000 samples, 477 s on two cores.
"""

import ml_collections


def get_config(model: str = "gated") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "vae"
    config.seed = 0

    # The data: 'digits' needs no download; dlx/data/sources.py lists others.
    config.dataset = "mnist"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.streamed = False  # True if the data do not fit on the device
    config.batch_size = 250

    # The model: dense layers between pixels and latents. Convolutions, if any, lie
    # between the pixels and the dense layers; each halves the image.
    config.latents = 50
    config.features = {"gated": (300, 300), "paper": (200, 200)}[model]
    config.gated = model == "gated"  # gated linear units instead of tanh
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.channels = ()

    # The objective: the ELBO ('vae'), or the bound of Burda et al. ('iwae').
    config.objective = "vae"
    config.samples = 1  # of each image's latent vector
    config.warmup_steps = 0  # over which the KL's weight rises to 1
    config.free_bits = 0.0  # nats of KL in each dimension that are not penalised

    # The optimiser, its learning rate falling as a cosine to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 2e-3
    config.adam_epsilon = 1e-4

    # The run.
    config.num_steps = 36_000
    config.log_steps = 240
    config.eval_steps = 3600
    config.checkpoint_steps = 3600
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_samples = 50
    config.last_eval_samples = 5000  # as in the papers
    return config
