"""Frechet and kernel distance, precision and recall in a classifier's features.

The papers use features of Inception v3. Numbers from other features compare only with
each other. A report must therefore name the network.
"""

from collections.abc import Callable

import numpy as np


def comparisons(
    train: np.ndarray,
    held_out: np.ndarray,
    fake: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], float],
) -> dict[str, float]:
    """Three distances between sets of features, all with the same number of samples.

    The number of samples biases the estimates. They compare only if it is equal.
    Each distance uses the first `comparable(...)` samples of both its sets.

    Args:
      train: [samples, width] float32. Features of training examples.
      held_out: [samples, width] float32. Features of held-out real examples.
      fake: [samples, width] float32. Features of generated examples.
      measure: (features, features) -> distance.

    Returns:
      {'': distance between generated and training examples, '_held_out': distance
      between generated and held-out examples, '_floor': distance between training and
      held-out examples}. '_held_out' is much larger than '' if a generator repeats its
      training examples.
    """
    n = comparable(train, held_out, fake)
    train, held_out, fake = train[:n], held_out[:n], fake[:n]
    return {
        "": measure(train, fake),
        "_held_out": measure(held_out, fake),
        "_floor": measure(train, held_out),
    }


def comparable(*features: np.ndarray) -> int:
    """Returns the number of samples of the smallest set."""
    return min(map(len, features))


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance between normal distributions fitted to two sets of features.

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) (Heusel et al. 2017, eq. 6).

    Args:
      real: [samples, width] float32.
      fake: [samples, width] float32. The number of samples must equal that of `real`,
        because it biases the estimate.
    """
    (m, c), (m_, c_) = (_moments(features) for features in (real, fake))
    # (C C')^(1/2) has the eigenvalues of the symmetric (C^(1/2) C' C^(1/2))^(1/2).
    root = _root(c)
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ c_ @ root), 0)).sum()
    return float(np.sum((m - m_) ** 2) + np.trace(c) + np.trace(c_) - 2 * cross)


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, subsets: int = 20, size: int = 1000
) -> float:
    """Mean over subsets of the unbiased squared MMD, kernel (x . y / width + 1)^3.

    This is the kernel Inception distance (Binkowski et al. 2018, section 4), which the
    paper computes in Inception's features.

    Args:
      real: [samples, width] float32.
      fake: [samples, width] float32.
      subsets: The number of random subsets, drawn with seed 0.
      size: The largest size of a subset.
    """
    generator = np.random.default_rng(0)
    size = min(size, len(real), len(fake))
    distances = []
    for _ in range(subsets):
        x, y = (
            features[generator.choice(len(features), size, replace=False)]
            for features in (real, fake)
        )
        within = [(np.sum(k) - np.trace(k)) for k in (_cubic(x, x), _cubic(y, y))]
        within = sum(within) / (size * (size - 1))
        distances.append(within - 2 * np.mean(_cubic(x, y)))
    return float(np.mean(distances))


def precision_recall(
    real: np.ndarray, fake: np.ndarray, neighbours: int = 3, most: int = 2000
) -> tuple[float, float]:
    """Precision and recall of generated samples, in [0, 1].

    Precision is the share of samples within the region of the real examples, and recall
    the share of real examples within the region of the samples. A set's region is the
    union of the balls around its points that reach to the k-th neighbour (Kynkaanniemi
    et al. 2019, eq. 1 and 2).

    Args:
      real: [samples, width] float32.
      fake: [samples, width] float32.
      neighbours: k.
      most: Only the first `most` of either set are used.
    """
    real, fake = (np.asarray(x[:most], np.float64) for x in (real, fake))
    return _inside(real, fake, neighbours), _inside(fake, real, neighbours)


def _inside(region, points, neighbours):
    within = np.sort(_squared_distances(region, region), axis=1)[:, neighbours]
    return float(np.mean(np.any(_squared_distances(points, region) <= within, axis=1)))


def _squared_distances(x, y):
    """[m, width], [n, width] -> [m, n]."""
    squares = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1)
    return np.maximum(squares - 2 * x @ y.T, 0)


def _cubic(x, y):
    inner = np.asarray(x, np.float64) @ y.T / x.shape[1] + 1
    return inner * inner * inner  # `inner**3` takes ten times as long


def _moments(features):
    features = np.asarray(features, np.float64)
    return features.mean(axis=0), np.cov(features, rowvar=False)


def _root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
