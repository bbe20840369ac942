"""How many kinds of things a generative model makes, and how evenly."""

import numpy as np


def shares(labels: np.ndarray, num_modes: int) -> np.ndarray:
    """How much of all samples each mode has.

    Args:
      labels: [samples] integers in 0 ... num_modes-1, what a classifier takes them for.
      num_modes: How many there are.

    Returns:
      [num_modes] float64; sums to 1.
    """
    return np.bincount(labels, minlength=num_modes) / len(labels)


def covered(shares: np.ndarray) -> int:
    """Modes that at least one sample belongs to (Metz et al. 2017, section 3.3.1)."""
    return int(np.sum(shares > 0))


def entropy(shares: np.ndarray) -> float:
    """Of the modes' shares, in nats; log(num_modes) where they are even."""
    some = shares[shares > 0]
    return float(-np.sum(some * np.log(some)))


def kl_to_uniform(shares: np.ndarray) -> float:
    """KL(shares || uniform) in nats: what the entropy lacks of its most.

    The second column of the tables on stacked MNIST (Metz et al. 2017, table 3).
    """
    return float(np.log(len(shares)) - entropy(shares))


def pairwise_distance(images: np.ndarray) -> float:
    """Mean distance between two samples: of images that are one and the same, 0.

    Args:
      images: [samples, ...] float; each is paired with one half the samples further on.

    Returns:
      The root of the mean squared difference of two images' values.
    """
    x = np.asarray(images, np.float32).reshape(len(images), -1)
    squared = np.mean((x - np.roll(x, len(x) // 2, axis=0)) ** 2, axis=1)
    return float(np.mean(np.sqrt(squared)))
