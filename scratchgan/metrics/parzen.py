"""Parzen windows: the log-likelihood of test data under a normal distribution around every generated sample."""

import math
from typing import NamedTuple

import numpy as np

from scratchgan import xp
from scratchgan.metrics.points import blocks, on_device, squared_distances

SIGMAS = tuple(np.logspace(-1, 0, 10).tolist())  # of the code of Goodfellow et al. 2014, for pixels in [0, 1]


class Parzen(NamedTuple):
    """mean: of log p(x) over test points, in nats; error: its standard error; sigma: the width that was chosen."""

    mean: float
    error: float
    sigma: float


def log_likelihood(samples, validation, test, sigmas=SIGMAS):
    """Return the mean of log p(x) over the test points, with the sigma that is best for the validation points.

        p(x) = 1/n sum_i N(x; s_i, sigma^2 I)                                         (Breuleux et al. 2011)

    The protocol of Goodfellow et al. 2014, section 5: 10,000 samples s, sigma one of ten numbers spaced evenly on a log
    scale. In nats per sample; it depends on the scale of x: pixels in [0, 1] for numbers to compare with the paper's.
    Biased downwards, much in many dimensions; it ranks by how samples fill space, not by how they look (Theis et al.
    2016). samples: (n, D), validation: (V, D), test: (m, D).
    Raises ValueError for no points, other shapes, numbers that are not finite, and sigmas not above 0.
    """
    sigmas = [float(sigma) for sigma in sigmas]
    if not sigmas or not all(sigma > 0 for sigma in sigmas):
        raise ValueError(f"log_likelihood: sigmas are {sigmas}, wanted numbers above 0")
    samples, validation, test = on_device("log_likelihood", 1, samples=samples, validation=validation, test=test)
    means = log_density(samples, validation, sigmas).mean(axis=1)
    sigma = sigmas[int(means.argmax())]
    (densities,) = log_density(samples, test, [sigma])
    error = float(densities.std()) / math.sqrt(len(densities))
    return Parzen(float(densities.mean()), error, sigma)


def log_density(samples, x, sigmas):
    """Return log p(x) for each sigma and each x, (sigmas, m), by a sum of exponentials that cannot overflow."""
    n, D = samples.shape
    parts = []
    for rows in blocks(len(x)):
        distances = squared_distances(x, samples, rows)  # (rows, n)
        least = distances.min(axis=1, keepdims=True)
        distances -= least
        sums = [xp.log(xp.exp(distances * (-0.5 / s**2)).sum(axis=1)) - least[:, 0] * (0.5 / s**2) for s in sigmas]
        parts.append(xp.stack(sums))
    constants = [math.log(n) + D * math.log(s * math.sqrt(2 * math.pi)) for s in sigmas]
    return xp.concatenate(parts, axis=1) - xp.asarray(np.array(constants)[:, None])
