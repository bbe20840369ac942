"""Flow matching of MNIST.

    python -m launch.main --config=configs/flow_mnist.py

docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "flow"
    config.seed = 0

    # The data: 'images', 'sounds', 'spectrograms' or 'texts'.
    config.modality = "images"
    config.dataset = "mnist"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.image_size = ml_collections.config_dict.placeholder(int)  # original
    config.streamed = False  # True if the data do not fit on the device
    config.accumulate = 1  # micro-batches of a step, for less memory
    config.batch_size = 32

    # The network: channels of each level; see dlx/generative/flow/networks.py.
    config.widths = (16, 32, 64)
    config.blocks = 1  # blocks per level, on the way down and on the way up
    config.patch = 1  # side of the patches that the first layer sees
    config.heads = 0  # attention heads at the smallest level; 0 for none
    config.dropout = 0.0
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.conditional = False  # whether samples depend on the class
    config.label_dropout = 0.1  # share of examples without their label, for guidance
    config.guidance = 1.0  # scale of classifier-free guidance; 1 for none

    # The samples.
    config.solver = "heun"  # or 'euler'
    config.solver_steps = 8

    # The optimiser, warmed up, its learning rate falling as a cosine to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 2e-3
    config.warmup_steps = 100
    config.ema_decay = 0.999

    # The run.
    config.num_steps = 5500
    config.log_steps = 50
    config.eval_steps = 5500
    config.checkpoint_steps = 250
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.reference_classifier = True  # measures samples; trained if missing
    config.eval_samples = 1000
    config.last_eval_samples = 10_000
    return config
