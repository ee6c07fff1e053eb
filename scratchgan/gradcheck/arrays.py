"""Arrays of any kind as NumPy's, tuples of arrays as one vector, and whether two arrays differ."""

import sys

import numpy


def to_host(x):
    """Return an array of any kind as NumPy's; from a GPU, copied."""
    return x.get() if hasattr(x, "get") and not isinstance(x, numpy.ndarray | dict) else numpy.asarray(x)


def to_kind_of(example):
    """Return a function that turns NumPy's arrays into arrays of the example's kind: CuPy's or NumPy's."""
    if isinstance(example, numpy.ndarray) or not hasattr(example, "get"):
        return lambda x: x
    if type(example).__module__.startswith("cupy"):
        return sys.modules["cupy"].asarray
    from scratchgan import xp  # the array module that is in use stands for the device

    return xp.asarray


def joined(parts, like):
    """Return a tuple of arrays, nested or not, as one vector; a single array as it is.

    like: the tuple whose floating-point arrays count. What is None in `parts` is zeros there.
    """
    if not isinstance(like, tuple):
        return parts
    from scratchgan import xp

    pairs = list(floating(parts, like))
    return xp.concatenate([xp.zeros(a.size, dtype=a.dtype) if part is None else part.ravel() for part, a in pairs])


def floating(parts, like):
    """Yield (part, array) for every floating-point array of a nested tuple."""
    if isinstance(like, tuple):
        for part, inner in zip((None,) * len(like) if parts is None else parts, like, strict=True):
            yield from floating(part, inner)
    elif like is not None and like.dtype.kind in "fc":
        yield parts, like


def parted(vector, like):
    """Return a vector cut into arrays, with None for what is no floating-point array: undoes `joined`."""
    if not isinstance(like, tuple):
        return vector
    start = 0

    def cut(like):
        nonlocal start
        if isinstance(like, tuple):
            return tuple(map(cut, like))
        if like is None or like.dtype.kind not in "fc":
            return None
        start += like.size
        return vector[start - like.size : start].reshape(like.shape)

    return cut(like)


def differs(a, b):
    """Whether arrays differ by more than the order of additions, which on a GPU may vary, can explain."""
    if a.shape != b.shape:
        return True
    allowed = 100 * (numpy.finfo(a.dtype).eps if a.dtype.kind in "fc" else 0) * numpy.max(numpy.abs(a), initial=0)
    return not numpy.all((numpy.abs(a - b) <= allowed) | ((a != a) & (b != b)) | (a == b))
