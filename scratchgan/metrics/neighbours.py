"""Nearest neighbours: precision and recall, density and coverage, and whether samples are copies of training data.

Around every point of a sample lies a ball that reaches to its k-th nearest neighbour in that sample; together the balls
are an estimate of where the distribution lives. No result has a unit.
"""

from typing import NamedTuple

import numpy as np

from scratchgan import xp
from scratchgan.metrics.points import blocks, on_device, rounding, squared_distances


class PrecisionRecall(NamedTuple):
    """precision: share of the fake points in a ball of the real ones; recall: of the real in a ball of the fake."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """density: in how many real balls a fake point lies, over k; coverage: share of the real balls with a fake one."""

    density: float
    coverage: float


class Memorization(NamedTuple):
    """nearer: P(a fake point is nearer to training data than a held-out one); 1/2: nothing is copied, 1: all is.

    ratio: median distance of the fake points to their nearest training point over that of the held-out ones;
    nearest: (n,), for each fake point the number of its nearest training point.
    """

    nearer: float
    ratio: float
    nearest: np.ndarray


def precision_recall(real, fake, k=3):
    """Return how much of the fake sample is real-like, and how much of the real one is covered.

        precision = share of fake points y with |y - x| <= r(x) for some real x       recall: with x and y exchanged

    r(x): the distance from x to its k-th nearest neighbour in x's own sample (Kynkäänniemi et al. 2019, eq. 1 and 2).
    real: (n, D), fake: (m, D). One far outlier of a sample has a huge ball, which lets anything in. Biased: both
    depend on n and m, and two samples of one distribution reach less than 1.
    Raises ValueError for no more than k points, k below 1, other shapes, and numbers that are not finite.
    """
    real, fake = checked("precision_recall", k, real, fake)
    return PrecisionRecall(share_inside(fake, real, k), share_inside(real, fake, k))


def density_coverage(real, fake, k=5):
    """Return density (1 for equal distributions; it may exceed 1) and coverage (up to 1), by balls of the real points.

        density = mean over fake y of (number of real x with |y - x| <= r(x)) / k
        coverage = share of real x with |y - x| <= r(x) for some fake y

    Naeem et al. 2020, eq. 3 and 4, r as for `precision_recall`. The balls of the fake sample, with its outliers, are
    not used. For two samples of one distribution coverage is on average 1 - P(the k nearest of n - 1 real and m fake
    points are all real), 1 - prod over i = 1 .. k of (n - i) / (n + m - i), or 1 - 2^-k for n = m, both large; density
    is 1.
    real: (n, D), fake: (m, D). Raises ValueError as `precision_recall` does.
    """
    real, fake = checked("density_coverage", k, real, fake)
    radii = squared_radii(real, k) + rounding(real, fake)
    balls, covered = 0, 0
    for rows in blocks(len(real)):
        inside = squared_distances(real, fake, rows) <= radii[rows, None]
        balls += int(inside.sum())
        covered += int(inside.any(axis=1).sum())
    return DensityCoverage(balls / (k * len(fake)), covered / len(real))


def memorization(train, held_out, fake):
    """Compare the distance of fake points to the training data with that of held-out points of the same source.

    nearer = P(d(fake) < d(held out)) + 1/2 P(d(fake) = d(held out)), the U statistic of Mann and Whitney over n m
    (Meehan, Chaudhuri & Dasgupta 2020): above 1/2 where G copies, below where its samples are far from all
    data, so that poor samples hide copies. Without bias. train: (N, D), held_out: (n, D), fake: (m, D).
    Raises ValueError for no points, other shapes, and numbers that are not finite.
    """
    train, held_out, fake = on_device("memorization", 1, train=train, held_out=held_out, fake=fake)
    of_held_out, _ = nearest(held_out, train)
    of_fake, index = nearest(fake, train)
    order = np.sort(of_held_out)
    below, up_to = np.searchsorted(order, of_fake, "left"), np.searchsorted(order, of_fake, "right")
    nearer = 1 - float((below + up_to).mean()) / (2 * len(order))
    middle = float(np.median(of_held_out))
    ratio = float(np.median(of_fake)) / middle if middle > 0 else float("nan")  # held-out points that are copies, too
    return Memorization(nearer, ratio, index)


# ---- helpers ---------------------------------------------------------------------------------------------


def checked(name, k, real, fake):
    """Return real and fake on the device, once both have more than k points."""
    if k < 1:
        raise ValueError(f"{name}: k is {k}, wanted 1 or more")
    return on_device(name, k + 1, real=real, fake=fake)


def squared_radii(x, k):
    """Return for each point the squared distance to its k-th nearest neighbour, itself not counted: (n,)."""
    parts = []
    for rows in blocks(len(x)):
        parts.append(xp.partition(squared_distances(x, x, rows, but_self=True), k - 1, axis=1)[:, k - 1].copy())
    return xp.concatenate(parts)


def share_inside(points, sample, k):
    """Return the share of points that lie in a ball of the sample."""
    radii = squared_radii(sample, k) + rounding(points, sample)
    inside = [(squared_distances(points, sample, rows) <= radii).any(axis=1).sum() for rows in blocks(len(points))]
    return int(sum(inside)) / len(points)


def nearest(points, sample):
    """Return the distance of each point to the nearest of a sample, and which one that is: (n,) each, on the host."""
    index = xp.concatenate([squared_distances(points, sample, rows).argmin(axis=1) for rows in blocks(len(points))])
    difference = points - sample[index]  # the difference itself: for a copy it is exactly 0
    return xp.to_host(xp.sqrt((difference * difference).sum(axis=1))), xp.to_host(index)
