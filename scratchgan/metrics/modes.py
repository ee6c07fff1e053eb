"""Mode counts: which modes of a distribution a generator has found, and how evenly it serves them.

A mode is a Gaussian of a mixture in the plane or, for images, a class that a classifier tells apart.
"""

from typing import NamedTuple

import numpy as np

from scratchgan import xp


class Coverage(NamedTuple):
    """covered: modes with at least one high-quality sample; modes: how many there are; high_quality: a share."""

    covered: int
    modes: int
    high_quality: float


class Divergences(NamedTuple):
    """reverse_kl: KL(q || p), infinite where q has what p lacks; jensen_shannon: from 0 to log 2. Both in nats."""

    reverse_kl: float
    jensen_shannon: float


def coverage(points, centers, std, *, reach=3.0):
    """Count the modes that samples cover, and the share of samples of high quality.

    A sample is of high quality if it lies within `reach` standard deviations of its nearest centre; a mode is
    covered if such a sample lies nearest to it (Srivastava et al. 2017, section 5.1; Lin et al. 2018, section 4.1).
    Of perfect samples in the plane a share of 1 - exp(-reach^2 / 2) is of high quality, 0.989 for 3.
    One sample suffices for a mode, so the count rises with the number of samples: compare at the same number.

    points: (n, 2); centers: (K, 2); std: in the units of both.
    Raises ValueError for no points, other shapes, and numbers that are not finite.
    """
    nearest, distances = nearest_center(points, centers)
    good = distances <= reach * std
    return Coverage(len(np.unique(nearest[good])), len(centers), float(good.mean()))


def counts(points, centers):
    """Return how many samples lie nearest to each centre, of high quality or not: (K,), for `divergences`.

    points: (n, 2); centers: (K, 2). Raises ValueError as `coverage` does.
    """
    return np.bincount(nearest_center(points, centers)[0], minlength=len(centers))


def class_counts(labels, classes):
    """Return how many samples a classifier puts in each of its classes: (classes,), from labels (n,).

    Raises ValueError for no labels, and for one that is not an integer from 0 to classes - 1.
    """
    labels = np.asarray(xp.to_host(labels))
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0:
        raise ValueError(f"class_counts: labels are {labels.dtype} {labels.shape}, wanted integers (n,), n at least 1")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"class_counts: labels are {labels.min()} to {labels.max()}, wanted 0 to {classes - 1}")
    return np.bincount(labels, minlength=classes)


def divergences(counts, reference=None):
    """Return how the shares q of the modes among the samples differ from p, among the data.

        KL(q || p) = sum q log(q / p)       JS = 1/2 KL(p || m) + 1/2 KL(q || m), m = (p + q) / 2       (Lin 1991)

    Reverse KL is 0 for even counts and log K for a single one of K even modes (Lin et al. 2018, section 4.1): it sees
    modes that are served unevenly before they are lost. Biased upwards: for n perfect samples by about (K - 1) / 2 n.
    counts: (K,); reference: (K,), counts or shares of the data; None: all modes alike.
    Raises ValueError for other shapes, a negative or infinite number, and counts of nothing.
    """
    counts = np.asarray(xp.to_host(counts), np.float64)
    reference = np.ones_like(counts) if reference is None else np.asarray(xp.to_host(reference), np.float64)
    for label, array in (("counts", counts), ("reference", reference)):
        if array.ndim != 1 or array.shape != counts.shape or not np.isfinite(array).all():
            raise ValueError(f"divergences: {label} has shape {array.shape}, wanted finite numbers {counts.shape}")
        if array.min(initial=0) < 0 or array.sum() == 0:
            raise ValueError(f"divergences: {label} holds a negative number, or nothing but zeros")
    q, p = counts / counts.sum(), reference / reference.sum()
    m = (p + q) / 2
    return Divergences(kl(q, p), max((kl(p, m) + kl(q, m)) / 2, 0.0))


# ---- helpers ---------------------------------------------------------------------------------------------


def nearest_center(points, centers):
    """Return the number of the nearest centre of each point, and the distance to it: (n,) each."""
    points, centers = (np.asarray(xp.to_host(array), np.float64) for array in (points, centers))
    if points.ndim != 2 or points.shape[1:] != centers.shape[1:] or len(points) == 0 or not np.isfinite(points).all():
        wanted = f"(n, {centers.shape[-1]}) with n at least 1, all finite"
        raise ValueError(f"modes: points have the shape {points.shape}, wanted {wanted}")
    distances = np.linalg.norm(points[:, None] - centers, axis=-1)  # (n, K)
    return distances.argmin(axis=1), distances.min(axis=1)


def kl(q, p):
    """Return sum q log(q / p), where 0 log 0 = 0."""
    some = q > 0
    if (p[some] == 0).any():
        return float("inf")
    return max(float((q[some] * np.log(q[some] / p[some])).sum()), 0.0)
