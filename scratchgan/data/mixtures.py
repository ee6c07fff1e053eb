"""Two-dimensional toy densities: where a generator loses modes, a plot and a count show it.

Every set has `sample(n, rng)`, float32 (n, 2); `centers` (K, 2), or None where it has no modes; `std`, or
None where it has no Gaussian noise; `bounds`, the half-width of a plot that shows it all; and, where it has
a closed form, `log_density(x)`, float64 (n,).
"""

import numpy as np

from scratchgan.data.checks import check_positive, check_whole
from scratchgan.support.errors import DataError


class Mixture:
    """A mixture of K equally likely round Gaussians in the plane.

    `p(x) = 1/K sum_k exp(-|x - c_k|^2 / (2 std^2)) / (2 pi std^2)`, with the centres c_k (K, 2).
    Raises DataError for centres of another shape or a standard deviation that is not positive.
    """

    def __init__(self, centers, std):
        self.centers = np.array(centers, np.float64)  # (K, 2)
        self.std = float(std)
        if self.centers.ndim != 2 or self.centers.shape[1] != 2 or len(self.centers) == 0:
            raise DataError(f"A mixture needs centres of shape (K, 2), not {self.centers.shape}.")
        if not np.isfinite(self.centers).all():
            raise DataError("The centres of a mixture must be finite numbers.")
        check_positive("standard deviation", self.std)
        self.bounds = float(np.abs(self.centers).max()) + max(4 * self.std, 1.0)

    def sample(self, n, rng):
        """Draw n points: float32 (n, 2)."""
        centers = self.centers[rng.integers(len(self.centers), size=n)]
        return (centers + self.std * rng.standard_normal((n, 2))).astype(np.float32)

    def log_density(self, x):
        """Return log p(x) of points x (n, 2): float64 (n,), finite however far from all centres."""
        x = np.asarray(x, np.float64)
        differences = x[:, None, :] - self.centers  # (n, K, 2)
        exponents = -(differences**2).sum(axis=-1) / (2 * self.std**2)  # (n, K)
        largest = exponents.max(axis=1, keepdims=True)
        total = np.log(np.exp(exponents - largest).sum(axis=1)) + largest[:, 0]
        return total - np.log(len(self.centers)) - np.log(2 * np.pi * self.std**2)


def ring(modes=8, radius=2.0, std=0.02):
    """Return Gaussians spaced evenly on a circle, at the angles `2 pi k / modes`.

    Metz, Poole, Pfau and Sohl-Dickstein, "Unrolled Generative Adversarial Networks" (2017), section 3.1
    and appendix A: 8 modes, radius 2, standard deviation 0.02.
    """
    check_whole("number of modes", modes)
    check_positive("radius", radius)
    angles = 2 * np.pi * np.arange(modes) / modes
    return Mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std)


def grid(side=5, spacing=2.0, std=0.05):
    """Return `side` x `side` Gaussians on a square grid around the origin.

    Srivastava et al., "VEEGAN" (2017), section 5.1; the numbers are those of Lin et al., "PacGAN" (2018),
    section 4.1: 25 modes at (-4 + 2i, -4 + 2j), standard deviation 0.05.
    """
    check_whole("side", side)
    check_positive("spacing", spacing)
    axis = spacing * (np.arange(side) - (side - 1) / 2)
    return Mixture(np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2), std)


class Checkerboard:
    """The uniform density on the dark squares of a board of `side` x `side` squares.

    One of the toy densities of Grathwohl et al., "FFJORD" (2019). The board covers the square of the given
    half-width around the origin; its square at the lower left is dark. Raises DataError for
    side < 1 or a half-width that is not positive.
    """

    centers = None
    std = None

    def __init__(self, side=4, half_width=4.0):
        check_whole("side", side)
        check_positive("half-width", half_width)
        self.side = int(side)
        self.bounds = float(half_width)
        column, row = np.indices((side, side)).reshape(2, -1)
        dark = (column + row) % 2 == 0
        self.squares = np.stack([column[dark], row[dark]], axis=1)  # (dark squares, 2)
        self.width = 2 * self.bounds / self.side  # of a square

    def sample(self, n, rng):
        """Draw n points: float32 (n, 2)."""
        low = self.squares[rng.integers(len(self.squares), size=n)]
        x = ((low + rng.random((n, 2))) * self.width - self.bounds).astype(np.float32)
        # Rounding to float32 can carry a point over the upper edge, into a light square.
        edge = ((low + 1) * self.width - self.bounds).astype(np.float32)
        return np.minimum(x, np.nextafter(edge, np.float32(-np.inf)))

    def log_density(self, x):
        """Return log p(x) of points x (n, 2): `-log(area of the dark squares)`, -inf outside of them."""
        square = np.floor((np.asarray(x, np.float64) + self.bounds) / self.width)  # (n, 2)
        inside = ((square >= 0) & (square < self.side)).all(axis=1) & (square.sum(axis=1) % 2 == 0)
        return np.where(inside, -np.log(len(self.squares) * self.width**2), -np.inf)


class NoisyCurve:
    """A curve in the plane with Gaussian noise: `x = curve(u) + std e`, u uniform in [0, 1), e normal.

    `curve` maps u (n,) to points (n, 2). The density has no closed form.
    """

    centers = None

    def __init__(self, curve, std, bounds):
        check_positive("standard deviation", std)
        self.curve = curve
        self.std = float(std)
        self.bounds = float(bounds)

    def sample(self, n, rng):
        """Draw n points: float32 (n, 2)."""
        points = self.curve(rng.random(n))
        return (points + self.std * rng.standard_normal((n, 2))).astype(np.float32)


def swiss_roll(std=0.05):
    """Return a spiral of one and a half turns, `t (cos t, sin t) / (1.5 pi)` with t from 1.5 pi to 4.5 pi.

    The toy set of Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), figure 1,
    two of the three coordinates of scikit-learn's Swiss roll, scaled to a radius of 3.
    """

    def curve(u):
        t = 1.5 * np.pi * (1 + 2 * u)
        return np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / (1.5 * np.pi)  # (n, 2)

    return NoisyCurve(curve, std, bounds=3.5)


def two_moons(std=0.05):
    """Return two half circles of radius 1 that reach into each other, centred on the origin.

    The two moons of scikit-learn's `make_moons`, which had been a test of clustering and became one of
    densities (Grathwohl et al., "FFJORD", 2019).
    """

    def curve(u):
        upper = u < 0.5
        angle = 2 * np.pi * u  # the upper moon takes 0 to pi, the lower one pi to 2 pi
        x = np.cos(angle) + np.where(upper, -0.5, 0.5)
        y = np.sin(angle) + np.where(upper, -0.25, 0.25)
        return np.stack([x, y], axis=1)  # (n, 2)

    return NoisyCurve(curve, std, bounds=2.5)


def checkerboard(side=4, half_width=4.0):
    """Return a `Checkerboard`, so that every set of this file is made by a function in lower case."""
    return Checkerboard(side, half_width)
