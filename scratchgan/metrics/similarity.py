"""Multi-scale structural similarity of pairs of images: high between samples that all look the same."""

import numpy as np

from scratchgan import xp
from scratchgan.metrics.points import blocks

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first (Wang et al. 2003)
TAPS, SIGMA = 11, 1.5  # the window (Wang et al. 2004)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ms_ssim(x, y):
    """Return the multi-scale structural similarity of each image of x with that of y: float64 (n,), on the host.

        l = (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1)      cs = (2 s_xy + C2) / (s_x^2 + s_y^2 + C2)
        MS-SSIM = mean(l cs at the coarsest scale)^w_S  prod over finer scales of mean(cs)^w_s   (Wang et al. 2003)

    m, s: means and (co)variances in a Gaussian window of 11 x 11; from scale to scale the side is halved by means of
    2 x 2. As many of the paper's 5 scales as the window fits in (2 for 28 x 28), their weights scaled to sum to 1. It
    is 1 for equal images; a mean below 0, between images that are negatives of each other, counts as 0. No unit.
    x, y: uint8 (n, H, W, C). Raises ValueError for another dtype or shape, different shapes, and sides below 11.
    """
    x, y = (xp.asarray(images) for images in (x, y))
    if x.shape != y.shape or x.dtype != np.uint8 or y.dtype != np.uint8 or x.ndim != 4 or len(x) == 0:
        raise ValueError(f"ms_ssim: wanted uint8 (n, H, W, C) twice, got {x.dtype} {x.shape} and {y.dtype} {y.shape}")
    if min(x.shape[1:3]) < TAPS:
        raise ValueError(f"ms_ssim: images of {x.shape[1]} x {x.shape[2]} are smaller than its window of {TAPS}")
    scales = min(len(WEIGHTS), int(np.log2(min(x.shape[1:3]) / TAPS)) + 1)
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    parts = []
    for rows in blocks(len(x)):
        a, b, product = x[rows].astype("float64"), y[rows].astype("float64"), 1.0
        for scale, weight in enumerate(weights.tolist(), start=1):
            luminance, contrast = compare(a, b)
            mean = (luminance * contrast if scale == scales else contrast).mean(axis=(1, 2, 3))
            product = product * xp.maximum(mean, 0) ** weight
            if scale < scales:
                a, b = halved(a), halved(b)
        parts.append(xp.to_host(product))
    return np.concatenate(parts)


def similarity_of_pairs(images, *, rng, pairs=1000):
    """Return the mean MS-SSIM of random pairs of different images (Odena et al. 2017, section 4.2): 1 is collapse.

    Within one class, for images of several classes: between classes it is low whatever G does. Without bias, whatever
    n; its noise is of order pairs^-1/2, and which pairs are drawn depends on rng and on the order of the images.
    images: uint8 (n, H, W, C). Raises ValueError as `ms_ssim` does, and for fewer than two images or one pair.
    """
    n = len(images)
    if n < 2 or pairs < 1:
        raise ValueError(f"similarity_of_pairs: {n} images and {pairs} pairs, wanted at least 2 and 1")
    first = rng.integers(0, n, pairs)
    second = (first + rng.integers(1, n, pairs)) % n  # never the same image
    return float(ms_ssim(images[first], images[second]).mean())


def compare(a, b):
    """Return l and cs in each window of two stacks of images (n, H, W, C)."""
    mean_a, mean_b = windowed(a), windowed(b)
    square_a, square_b, product = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
    variances = windowed(a * a) - square_a + windowed(b * b) - square_b
    covariance = windowed(a * b) - product
    return (2 * product + C1) / (square_a + square_b + C1), (2 * covariance + C2) / (variances + C2)


def windowed(x):
    """Return the weighted mean of x in each window that lies inside: (n, H - 10, W - 10, C)."""
    taps = np.exp(-0.5 * ((np.arange(TAPS) - TAPS // 2) / SIGMA) ** 2)
    taps = (taps / taps.sum()).tolist()
    height, width = x.shape[1] - TAPS + 1, x.shape[2] - TAPS + 1
    x = sum(tap * x[:, i : i + height] for i, tap in enumerate(taps))
    return sum(tap * x[:, :, i : i + width] for i, tap in enumerate(taps))


def halved(x):
    """Return the means of 2 x 2 pixels; a last odd row or column is left out."""
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    x = x[:, :height:2] + x[:, 1:height:2]
    return (x[:, :, :width:2] + x[:, :, 1:width:2]) / 4
