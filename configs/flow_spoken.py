"""Flow matching of spoken digits, as spectrograms, for hours on a CPU.

    python -m launch.main --config=configs/flow_spoken.py

Samples are half a second at 8 kHz, by class. Griffin and Lim's algorithm turns their
spectrograms into sounds; dlx/data/spectrograms.py has the details. TFDS downloads
spoken_digit. docs/measured.md has results.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.task = "flow"
    config.seed = 0

    # The data: 'images', 'sounds', 'spectrograms' or 'texts'.
    config.modality = "spectrograms"
    config.dataset = "spectrograms:spoken_digit"
    config.data_dir = ml_collections.config_dict.placeholder(str)  # TFDS's default
    config.manual_dir = ml_collections.config_dict.placeholder(str)
    config.validation = 0  # training examples held out; 0 trains on all
    config.streamed = False  # True if the data do not fit on the device
    config.accumulate = 1  # micro-batches of a step, for less memory
    config.batch_size = 32

    # The network: channels of each level; see dlx/generative/flow/networks.py.
    config.widths = (64, 96, 128)
    config.blocks = 1  # blocks per level, on the way down and on the way up
    config.patch = 4  # side of the patches that the first layer sees
    config.heads = 4  # attention heads at the smallest level; 0 for none
    config.dropout = 0.0
    config.dtype = "float32"  # or 'bfloat16', for a GPU
    config.conditional = True  # whether samples depend on the class
    config.label_dropout = 0.1  # share of examples without their label, for guidance
    config.guidance = 2.0  # scale of classifier-free guidance; 1 for none

    # The samples.
    config.solver = "heun"  # or 'euler'
    config.solver_steps = 16

    # The optimiser, warmed up, its learning rate falling as a cosine to 0.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 1e-3
    config.warmup_steps = 500
    config.ema_decay = 0.999

    # The run.
    config.num_steps = 5000
    config.log_steps = 100
    config.eval_steps = 1000
    config.checkpoint_steps = 500
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.reference_classifier = True  # measures samples; trained if missing
    config.eval_samples = 250
    config.last_eval_samples = 1000
    return config
