"""Splits of a data set: train, validation and test.

The best checkpoint is chosen on the validation split. If the data set has none, or no
other test split, a fixed part of the training examples is held out for validation.
"""

import numpy as np

from dlx import fields
from dlx.errors import UserError

SPLITS = "train", "validation", "test"
FIELDS = {
    # Training examples that are held out; 0 trains on all of them.
    "validation": fields.integer(0),
    # The split that is evaluated; by default the validation split if there is one.
    "eval_split": fields.choice("", *SPLITS[1:]),
}


def validation(config) -> int:
    """The number of training examples that a run with this config holds out."""
    return config.get("validation", 0)


def evaluated(config) -> str:
    """The split on which a run with this config is evaluated.

    Raises:
      UserError: if it is the validation split and there is none.
    """
    split = config.get("eval_split") or ("validation" if validation(config) else "test")
    if split == "validation" and not validation(config):
        raise UserError(
            "the run has no validation split, because config.validation=0: it trains "
            "on all examples, and its last checkpoint is the result"
        )
    return split


def selects(config) -> bool:
    """Whether the best checkpoint of a run is chosen by its evaluations."""
    return validation(config) > 0


def part(split: str, number: int, held_out: int) -> np.ndarray:
    """Indices of the training or the validation examples.

    The held-out examples are evenly spaced, so that they are of all classes even if the
    data set is sorted by class.

    Args:
      split: 'train' or 'validation'.
      number: The number of the data set's training examples.
      held_out: The number of held-out examples.

    Raises:
      UserError: if no example is left for one of the splits.
    """
    if held_out >= number or (split == "validation" and not held_out):
        raise UserError(
            f"config.validation={held_out} must leave examples for training and "
            f"validation; the data set has {number} training examples"
        )
    indices = np.arange(number)
    chosen = np.linspace(0, number, held_out, endpoint=False).astype(int)
    return chosen if split == "validation" else np.delete(indices, chosen)
