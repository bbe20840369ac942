"""Mode coverage and its entropy, and the mean distance between samples."""

import numpy as np


def shares(labels: np.ndarray, num_modes: int) -> np.ndarray:
    """The share of samples in each mode.

    Args:
      labels: [samples] integers in 0 ... num_modes-1. Modes predicted by a classifier.
      num_modes: The number of modes.

    Returns:
      [num_modes] float64 that sums to 1.
    """
    return np.bincount(labels, minlength=num_modes) / len(labels)


def covered(shares: np.ndarray) -> int:
    """The number of modes with a sample (Metz et al. 2017, section 3.3.1)."""
    return int(np.sum(shares > 0))


def entropy(shares: np.ndarray) -> float:
    """Entropy of the modes' shares in nats; log(num_modes) if all are equal."""
    positive = shares[shares > 0]
    return float(-np.sum(positive * np.log(positive)))


def kl_to_uniform(shares: np.ndarray) -> float:
    """KL(shares || uniform) in nats, the largest possible entropy less the entropy.

    It is the second column of tables on stacked MNIST (Metz et al. 2017, table 3).
    """
    return float(np.log(len(shares)) - entropy(shares))


def pairwise_distance(images: np.ndarray) -> float:
    """Mean distance between two samples, which is 0 if all samples are equal.

    The distance is the root of the mean squared difference of two images' values. Image
    i is paired with image i + samples / 2.

    Args:
      images: [samples, ...] float.
    """
    x = np.asarray(images, np.float32).reshape(len(images), -1)
    squared = np.mean((x - np.roll(x, len(x) // 2, axis=0)) ** 2, axis=1)
    return float(np.mean(np.sqrt(squared)))
