"""How far generated samples are from real ones, in a classifier's features.

The papers' features are those of Inception v3; with others, numbers compare among
themselves alone, and whoever reports them says whose features they are.
"""

from collections.abc import Callable

import numpy as np


def comparisons(
    train: np.ndarray,
    held_out: np.ndarray,
    fake: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], float],
) -> dict[str, float]:
    """Three distances, each between the first n of either set.

    The estimates are biased by the number of samples, and so compare only where that is
    one. n is the length of the shortest set, for which `comparable` is there.

    Args:
      train: [samples, width], features of real examples that were trained on.
      held_out: [samples, width], of real ones that were not.
      fake: [samples, width], of generated ones.
      measure: (features, features) -> distance.

    Returns:
      '': of the generated ones from those trained on. '_held_out': of the generated
      ones from the others; much more than '' where a generator repeats its examples.
      '_floor': of the real ones from one another.
    """
    n = comparable(train, held_out, fake)
    train, held_out, fake = train[:n], held_out[:n], fake[:n]
    return {
        "": measure(train, fake),
        "_held_out": measure(held_out, fake),
        "_floor": measure(train, held_out),
    }


def comparable(*features: np.ndarray) -> int:
    """The length of the shortest."""
    return min(map(len, features))


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance of two normal distributions fitted to features.

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) (Heusel et al. 2017, eq. 6).

    Args:
      real: [samples, width].
      fake: [samples, width]; as many as the other, for the estimate is biased by
        their number.
    """
    (m, c), (m_, c_) = (_moments(features) for features in (real, fake))
    # (C C')^(1/2) has the eigenvalues of (C^(1/2) C' C^(1/2))^(1/2), a symmetric one.
    root = _root(c)
    both = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ c_ @ root), 0)).sum()
    return float(np.sum((m - m_) ** 2) + np.trace(c) + np.trace(c_) - 2 * both)


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, subsets: int = 20, size: int = 1000
) -> float:
    """Unbiased squared MMD with the kernel (x . y / width + 1)^3, a mean over subsets.

    "Kernel Inception distance" (Binkowski et al. 2018, section 4), there on Inception's
    features.

    Args:
      real: [samples, width].
      fake: [samples, width].
      subsets: How many, drawn with seed 0.
      size: Of each, at the most.
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
    """Share of samples among the real ones, and of real ones among the samples.

    A set's region is the balls round each of its points that reach its k-th neighbour
    (Kynkaanniemi et al. 2019, eq. 1 and 2).

    Args:
      real: [samples, width].
      fake: [samples, width].
      neighbours: k.
      most: Of either that are looked at: the first.
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
    return inner * inner * inner  # a power takes ten times as long


def _moments(features):
    features = np.asarray(features, np.float64)
    return features.mean(axis=0), np.cov(features, rowvar=False)


def _root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
