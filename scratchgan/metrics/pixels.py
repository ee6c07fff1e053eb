"""What is measured of pictures pixel by pixel, where the right one is known."""

import numpy as np

from scratchgan.metrics.similarity import TAPS, ms_ssim


def psnr(x, y):
    """Return the peak signal-to-noise ratio of each image of x, measured against that of y: float64 (n,), decibels.

        PSNR = 10 log10(255^2 / MSE),  MSE = mean over an image of (x - y)^2

    It is infinite for equal images. The mean of the PSNRs of several images is not the PSNR of their mean MSE, which
    is lower. x, y: uint8 (n, H, W, C), on the host. Raises ValueError for others.
    """
    demand_pairs("psnr", x, y)
    mse = ((x.astype(np.float64) - y) ** 2).mean(axis=(1, 2, 3))  # (n,)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / mse)


def absolute_error(x, y):
    """Return the mean absolute difference of each image of x from that of y, in levels of 255: float64 (n,)."""
    demand_pairs("absolute_error", x, y)
    return np.abs(x.astype(np.float64) - y).mean(axis=(1, 2, 3))


def sharpness(x):
    """Return the mean slope of each image, in levels per pixel: float64 (n,); blur makes it small.

    The slope is the length of (difference to the right, difference below). x: uint8 (n, H, W, C), on the host.
    Raises ValueError for others, and for images that are one pixel wide or high, which have no slope.
    """
    demand_pairs("sharpness", x, x)
    if min(x.shape[1:3]) < 2:
        raise ValueError(f"sharpness: wanted images of 2 x 2 pixels or more, got {x.shape}")
    x = x.astype(np.float64)
    right, below = x[:, :-1, 1:] - x[:, :-1, :-1], x[:, 1:, :-1] - x[:, :-1, :-1]
    return np.hypot(right, below).mean(axis=(1, 2, 3))


def compared(x, y):
    """Return {name: number} of images x beside those that they should be, y: means over the images.

    The sharpness is left out where y has none, and MS-SSIM where images are smaller than its window.
    """
    numbers = {"PSNR, dB": psnr(x, y).mean(), "L1, levels of 255": absolute_error(x, y).mean()}
    if min(x.shape[1:3]) > 1 and sharpness(y).any():
        numbers["sharpness, 1: the truth's"] = sharpness(x).mean() / sharpness(y).mean()
    if min(x.shape[1:3]) >= TAPS:
        numbers["MS-SSIM"] = ms_ssim(x, y).mean()
    return {name: float(number) for name, number in numbers.items()}


def demand_pairs(name, x, y):
    """Raise ValueError unless x and y are images of one shape, uint8 (n, H, W, C)."""
    if x.shape != y.shape or x.dtype != np.uint8 or y.dtype != np.uint8 or x.ndim != 4 or x.size == 0:
        raise ValueError(f"{name}: wanted uint8 (n, H, W, C), alike, got {x.dtype} {x.shape} and {y.dtype} {y.shape}")
