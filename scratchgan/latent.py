"""Walks between latent vectors, on the host."""

import numpy as np


def great_circle(a, b, t):
    """Return the point at 0 <= t <= 1 of the great circle from a to b.

    (sin((1 - t) w) a + sin(t w) b) / sin w, w the angle from a to b (Shoemake 1985; White 2016). A
    straight line passes near 0, where a normal distribution of many dimensions has no samples.
    """
    lengths = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
    cosine = np.clip((a * b).sum(axis=-1, keepdims=True) / np.maximum(lengths, 1e-12), -1, 1)
    w = np.arccos(cosine)
    straight = np.sin(w) < 1e-4  # nearly one direction, or opposite ones: many circles
    w = np.where(straight, 1, w)
    from_a = np.where(straight, 1 - t, np.sin((1 - t) * w) / np.sin(w))
    from_b = np.where(straight, t, np.sin(t * w) / np.sin(w))
    return (from_a * a + from_b * b).astype(a.dtype)
