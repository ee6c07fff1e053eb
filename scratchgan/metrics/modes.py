"""Mode counts: how much of a mixture of Gaussians a generator has found, how near it comes, how evenly it serves it."""

from typing import NamedTuple

import numpy as np


class Coverage(NamedTuple):
    """covered: modes with at least one high-quality sample; modes: how many there are; high_quality: a share."""

    covered: int
    modes: int
    high_quality: float


def coverage(points, centers, std, *, reach=3.0):
    """Count the modes that samples cover, and the share of samples of high quality.

    A sample is of high quality if it lies within `reach` standard deviations of its nearest centre; a mode is
    covered if such a sample lies nearest to it (Srivastava et al. 2017, section 5.1; Lin et al. 2018, section 4.1).
    Of perfect samples in the plane a share of 1 - exp(-reach^2 / 2) is of high quality, 0.989 for 3.
    One sample suffices for a mode, so the count rises with the number of samples: compare at the same number.

    points: (n, 2); centers: (K, 2); host arrays. Raises ValueError if there are no points, or one is not finite.
    """
    nearest, distances = nearest_center(points, centers)
    good = distances <= reach * std
    return Coverage(len(np.unique(nearest[good])), len(centers), float(good.mean()))


def histogram(points, centers):
    """Return how many samples lie nearest to each centre, of high quality or not: int64 (K,).

    points: (n, 2); centers: (K, 2); host arrays. Raises ValueError as `coverage` does.
    """
    return np.bincount(nearest_center(points, centers)[0], minlength=len(centers))


def reverse_kl(counts, reference=None):
    """Return KL(q || p) = sum_k q_k log(q_k / p_k) in nats, q the shares of the modes among samples, p among the data.

    Zero for even shares, log K for a single one of K even modes: it sees modes that are served unevenly before they
    are lost (Lin et al. 2018, section 4.1). Perfect samples, n of them, have about (K - 1) / 2n.
    counts: (K,), from `histogram`; reference: (K,), counts or shares; None: all modes alike. Infinite where there are
    samples in a mode that the data do not have. Raises ValueError for counts of nothing, negative ones, other shapes.
    """
    return kl(*shares(counts, reference))


def jensen_shannon(counts, reference=None):
    """Return JS = KL(q || m) / 2 + KL(p || m) / 2 with m = (p + q) / 2, from 0 to log 2 nats (Lin 1991).

    Symmetric, and finite whatever is missing. Takes and raises what `reverse_kl` does.
    """
    q, p = shares(counts, reference)
    m = (p + q) / 2
    return (kl(q, m) + kl(p, m)) / 2


# ---- helpers ---------------------------------------------------------------------------------------------


def nearest_center(points, centers):
    """Return the number of the nearest centre of each point, and the distance to it: (n,) each."""
    points, centers = np.asarray(points, np.float64), np.asarray(centers, np.float64)
    if len(points) == 0 or not np.isfinite(points).all():
        raise ValueError(f"modes: wanted finite points (n, 2) with n at least 1, got shape {points.shape}")
    distances = np.linalg.norm(points[:, None] - centers, axis=-1)  # (n, K)
    return distances.argmin(axis=1), distances.min(axis=1)


def shares(counts, reference):
    """Return two histograms as shares, (K,) each; raise ValueError where they are none."""
    counts = np.asarray(counts, np.float64)
    reference = np.ones_like(counts) if reference is None else np.asarray(reference, np.float64)
    for array in (counts, reference):
        if array.shape != counts.shape or array.ndim != 1 or not (array >= 0).all() or not 0 < array.sum() < np.inf:
            raise ValueError(f"modes: wanted two histograms (K,) of numbers from 0 on, not all 0, got {array}")
    return counts / counts.sum(), reference / reference.sum()


def kl(q, p):
    """Return sum q log(q / p), where 0 log 0 = 0."""
    some = q > 0
    if (p[some] == 0).any():
        return float("inf")
    return max(float((q[some] * np.log(q[some] / p[some])).sum()), 0.0)  # rounding may take it below 0
