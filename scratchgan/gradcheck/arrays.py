"""Arrays of any kind as NumPy's, which arrays are refused, and whether two arrays differ."""

import sys

import numpy

FOREIGN = {
    "torch": "x.detach().cpu().numpy()", "tensorflow": "x.numpy()", "jax": "numpy.asarray(x)",
    "jaxlib": "numpy.asarray(x)", "pandas": "x.to_numpy()", "polars": "x.to_numpy()", "xarray": "x.to_numpy()",
    "scipy": "x.toarray()", "sparse": "x.todense()", "mxnet": "x.asnumpy()",
}  # fmt: skip


def foreign(x):
    """Return what to do with an array that is not NumPy's or CuPy's, or holds no numbers; None for any other thing."""
    if isinstance(x, numpy.ma.MaskedArray):
        return "give x.filled(0), and its mask as an argument of its own"
    if isinstance(x, numpy.matrix):
        return "its * is no product of entries: give numpy.asarray(x)"
    if isinstance(x, numpy.ndarray):
        return None if x.dtype.kind in "fciub" else f"it holds {x.dtype.name}s: give numbers"
    library = type(x).__module__.split(".")[0]
    known = library in FOREIGN and hasattr(x, "shape")
    unknown = hasattr(x, "__array__") and not hasattr(x, "get") and not isinstance(x, numpy.generic | type)
    return f"give {FOREIGN.get(library, 'numpy.asarray(x)')}" if known or unknown else None


def refuse(x, what):
    """Raise TypeError for an array that is not NumPy's or CuPy's; what: how to call it."""
    if advice := foreign(x):
        kind = f"{type(x).__module__.split('.')[0]}.{type(x).__name__}"
        raise TypeError(f"{what} is a {kind}, and the checker takes arrays of NumPy or CuPy: {advice}")


def is_array(x, kinds="fciub"):
    """Whether something is an array of NumPy or CuPy, of one of these kinds of numbers."""
    likely = isinstance(x, numpy.ndarray) or all(hasattr(x, name) for name in ("get", "dtype", "shape", "ravel"))
    return likely and foreign(x) is None and x.dtype.kind in kinds


def to_host(x):
    """Return an array of any kind as NumPy's; from a GPU, copied."""
    return x.get() if hasattr(x, "get") and not isinstance(x, numpy.ndarray | dict) else numpy.asarray(x)


def shape(x):
    """Return the shape of an array of any kind, of a number, or of a list of numbers."""
    return tuple(x.shape) if hasattr(x, "shape") else numpy.shape(x)


def to_kind_of(example):
    """Return a function that turns NumPy's arrays into arrays of the example's kind: CuPy's or NumPy's."""
    if isinstance(example, numpy.ndarray) or not hasattr(example, "get"):
        return lambda x: x
    if type(example).__module__.startswith("cupy"):
        return sys.modules["cupy"].asarray
    from scratchgan import xp  # the array module that is in use stands for the device

    return xp.asarray


def same(a, b):
    """Whether two arrays or numbers are equal, NaN to NaN."""
    a, b = to_host(a), to_host(b)
    return numpy.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc")


def differs(a, b):
    """Whether arrays differ by more than the order of additions, which on a GPU may vary, can explain; None is none."""
    if a is None or b is None:
        return a is not b
    a, b = to_host(a), to_host(b)
    if a.shape != b.shape:
        return True
    allowed = 100 * (numpy.finfo(a.dtype).eps if a.dtype.kind in "fc" else 0) * numpy.max(numpy.abs(a), initial=0)
    return not numpy.all((numpy.abs(a - b) <= allowed) | ((a != a) & (b != b)) | (a == b))
