"""Sums over rows, positions and channels of x (N, ..., C); a row spread over positions again."""

import math


def over_rows(x):
    """Sum over all axes but the last: (N, ..., C) -> (C,)."""
    return x.reshape(-1, x.shape[-1]).sum(0)


def over_positions(x):
    """Sum over all axes but the first and the last: (N, ..., C) -> (N, C)."""
    return x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1]).sum(1)


def channel_mean(x):
    """Return the mean over the last axis, which stays with length 1: (N, ..., C) -> (N, ..., 1)."""
    return x.mean(-1, keepdims=True)


def across(rows, shape):
    """Return (N, C) as (N, 1, ..., 1, C), to be spread over the positions of an x (N, ..., C)."""
    return rows.reshape(len(rows), *[1] * (len(shape) - 2), rows.shape[-1])
