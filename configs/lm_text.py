"""A language model of characters: the baseline of configs/textgan.py.

    python -m launch.main --config=configs/lm_text.py
    python -m launch.main --config=configs/lm_text.py:names --config.corpus=names.txt

An LSTM is trained by maximum likelihood. `:names` learns single lines, such as names,
from a file that has one a line. docs/measured.md has its results.
"""

from typing import Literal

import ml_collections


def get_config(
    examples: Literal["text", "names"] = "text",
) -> ml_collections.ConfigDict:
    names = {"text": False, "names": True}[examples]
    config = ml_collections.ConfigDict()
    config.task = "language"
    config.seed = 0

    # The data.
    config.modality = "texts"
    config.corpus = ml_collections.config_dict.placeholder(str)  # Python's manual
    # 'lines': every line of the corpus; 'windows': all that begin with a word.
    config.examples = "lines" if names else "windows"
    config.length = 16 if names else 32  # characters
    config.words = ml_collections.config_dict.placeholder(str)  # a file of known words
    config.validation = 3000 if names else 10_000  # examples held out
    config.accumulate = 1  # micro-batches of a step, for less memory
    config.batch_size = 64

    # The network: units of each layer.
    config.widths = (256,)

    # The optimiser; its rate falls to 0 along a cosine.
    config.optimizer = "adam"  # others are in dlx/optimizers.py
    config.learning_rate = 4e-3
    config.warmup_steps = 50

    # The run.
    config.num_steps = 8000
    config.log_steps = 50
    config.eval_steps = 1000
    config.checkpoint_steps = 1000
    config.keep_checkpoints = 2
    config.parallel = "pmap"  # or "shard_map"
    config.eval_samples = 1000
    config.last_eval_samples = 3000 if names else 10_000
    return config
