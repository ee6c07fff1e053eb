"""The Fréchet distance: W_2^2 between the two normal distributions that have the means and covariances of two samples.

    d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^1/2)       (Dowson & Landau 1982; Heusel et al. 2017, eq. 6)

Heusel et al. call it FID for features of an Inception network. For those of our classifier it is FID-LeNet.
"""

from scratchgan import xp
from scratchgan.metrics.points import on_device


def frechet(x, y):
    """Return d^2 between two samples of points, with unbiased covariances; in units of x squared.

    x: (n, D), y: (m, D). Biased upwards, by a term of order 1/n that differs between generators (Bińkowski et al.
    2018; Chong & Forsyth 2020): compare only at the same n. It does not see more than two moments.
    Raises ValueError for fewer than two points, other shapes, and numbers that are not finite.
    """
    x, y = on_device("frechet", 2, x=x, y=y)
    return between_gaussians(*moments(x), *moments(y))


def moments(x):
    """Return the mean, (D,), and the unbiased covariance, (D, D), of points (n, D)."""
    mean = x.mean(axis=0)
    centred = x - mean
    return mean, centred.T @ centred / (len(x) - 1)


def between_gaussians(mean_x, covariance_x, mean_y, covariance_y):
    """Return d^2 between two normal distributions.

    With C_1 = R_1 R_1 and C_2 = R_2 R_2, tr (C_1 C_2)^1/2 is the sum of the singular values of R_1 R_2. No inverse is
    taken: the covariances may be degenerate, as they are for fewer points than numbers in a point.
    """
    difference = mean_x - mean_y
    singular = xp.linalg.svd(square_root(covariance_x) @ square_root(covariance_y), compute_uv=False)
    spread = xp.trace(covariance_x) + xp.trace(covariance_y) - 2 * singular.sum()
    return max(float(difference @ difference + spread), 0.0)


def square_root(C):
    """Return the symmetric R with R R = C, for a symmetric C without negative eigenvalues: V sqrt(L) V^T.

    Eigenvalues that rounding cannot tell from 0 are taken to be 0: the root of 1e-17 would be 3e-9.
    """
    eigenvalues, V = xp.linalg.eigh(C)
    smallest = len(C) * 2.0**-52 * xp.abs(eigenvalues).max()
    return (V * xp.sqrt(xp.where(eigenvalues > smallest, eigenvalues, 0))) @ V.T
