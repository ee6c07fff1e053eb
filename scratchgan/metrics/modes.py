"""Mode counts: how much of a mixture of Gaussians a generator has found, and how near its samples come."""

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
    points, centers = np.asarray(points, np.float64), np.asarray(centers, np.float64)
    if len(points) == 0 or not np.isfinite(points).all():
        raise ValueError(f"coverage: wanted finite points (n, 2) with n at least 1, got shape {points.shape}")
    distances = np.linalg.norm(points[:, None] - centers, axis=-1)  # (n, K)
    nearest = distances.argmin(axis=1)
    good = distances.min(axis=1) <= reach * std
    return Coverage(len(np.unique(nearest[good])), len(centers), float(good.mean()))
