"""What metrics between two sets of points share: checks, and the distances of all pairs, a block of rows at a time."""

from scratchgan import xp

BLOCK = 1000  # rows of a matrix of all pairs that are in memory at once


def on_device(name, least, **samples):
    """Return samples, (n, D) each, as float64 arrays of the device; `name` is for the error.

    Raises ValueError for another shape, for fewer than `least` points, for different D, and for a number that is not
    finite.
    """
    arrays = [xp.asarray(sample, dtype="float64") for sample in samples.values()]
    for label, sample in zip(samples, arrays, strict=True):
        if sample.ndim != 2 or sample.shape[1] == 0:
            raise ValueError(f"{name}: {label} has shape {sample.shape}, wanted (n, D): a row for each sample")
        if len(sample) < least:
            raise ValueError(f"{name}: {label} has {len(sample)} samples, wanted at least {least}")
        if not bool(xp.isfinite(sample).all()):
            raise ValueError(f"{name}: {label} holds a NaN or an infinite number: look at where the samples come from")
        if sample.shape[1] != arrays[0].shape[1]:
            raise ValueError(f"{name}: {label} has {sample.shape[1]} numbers a sample, wanted {arrays[0].shape[1]}")
    return arrays


def blocks(n):
    """Yield slices that together are the rows 0 to n - 1."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))


def squared_distances(x, y, rows, but_self=False):
    """Return |x_i - y_j|^2 for some rows i and all j, (rows, m); with but_self, infinity where i = j.

        |x - y|^2 = |x|^2 - 2 <x, y> + |y|^2

    One matrix product. Its rounding is that of |x|^2, not of the difference: see `rounding`.
    """
    part = x[rows]
    distances = (part * part).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * (part @ y.T)
    distances = xp.maximum(distances, 0)
    if but_self:
        index = xp.arange(len(part))
        distances[index, rows.start + index] = xp.inf
    return distances


def rounding(*samples):
    """Return below which difference two squared distances count as equal."""
    return 1e-13 * sum(float((sample * sample).sum(axis=1).max()) for sample in samples)
