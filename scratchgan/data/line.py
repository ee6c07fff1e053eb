"""Numbers from two Gaussians, 0.6 N(-1, 0.6^2) + 0.4 N(2.5, 1), whose density is known: no single one is like it."""

import numpy as np

WEIGHTS, MEANS, STDS = np.array([0.6, 0.4]), np.array([-1.0, 2.5]), np.array([0.6, 1.0])


def sample(n, rng):
    """Draw n numbers: float32 (n, 1)."""
    which = rng.choice(2, size=n, p=WEIGHTS)
    return (MEANS[which] + STDS[which] * rng.standard_normal(n)).astype(np.float32)[:, None]


def density(x):
    """Return p(x) of numbers: float64 (n,)."""
    return WEIGHTS @ [normal(x, mean, std) for mean, std in zip(MEANS, STDS, strict=True)]


def normal(x, mu, sigma):
    """Return N(x; mu, sigma^2)."""
    return np.exp(-0.5 * ((x - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
