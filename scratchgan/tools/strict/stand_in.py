"""strict_xp: a stand-in for CuPy 14 without a GPU, as strict as CuPy, for tests of code that shall run on one.

    from scratchgan.tools.strict import strict_xp
    with xp.using(strict_xp), strict_xp.counting() as counts:
        ...                                     # what would fail on a GPU fails here
    print(counts)                               # operations, copies, synchronisations
"""

import functools
from operator import attrgetter

import numpy as np

from scratchgan.tools.strict.array import CUPY, HOST, array_of, call, demand_signature, is_operand, ndarray
from scratchgan.tools.strict.counts import counting, record

CONVERT = ("array", "asanyarray", "asarray")  # the functions that copy from host to device
FREE = ("empty", "empty_like")  # memory alone, and no operation
WAITING = (  # functions whose result has a shape that only the device knows, or that look at numbers on the way
    "argwhere", "average", "bincount", "choose", "compress", "extract", "flatnonzero", "histogram", "intersect1d",
    "median", "nonzero", "put", "setdiff1d", "trim_zeros", "union1d", "unique", "unravel_index",
)  # fmt: skip
OPERAND = ("a", "array", "arr", "ary", "m", "x", "x1")  # what CuPy calls a first argument that must be its array
TRUTHS = ("allclose", "array_equal", "array_equiv")  # bools with NumPy, arrays without axes with CuPy
ANSWERS = ("iscomplexobj", "isrealobj", "isscalar", "may_share_memory", "ndim", "shape", "size")  # take anything


class StrictXp:
    """An array module with the names of CuPy's, no others, that computes with NumPy on `strict_xp.ndarray`.

    Each function takes the arguments of CuPy's, and refuses NumPy's arrays. `counting()` counts.
    """

    __version__ = CUPY["version"]

    def __init__(self, prefix=""):
        self.__name__ = f"strict_xp.{prefix}".rstrip(".")
        self._prefix = prefix

    def __getattr__(self, name):
        path = self._prefix + name
        if path.startswith("__") or path == "_prefix":
            raise AttributeError(name)
        return find(path)


@functools.cache
def find(path):
    """Return what `strict_xp` has by the name of, for instance, "zeros" or "linalg.norm"."""
    own = {"ndarray": ndarray, "counting": counting, "asnumpy": lambda a: a.get()}
    own["random.default_rng"] = lambda seed=None: Generator(np.random.default_rng(seed))
    if path in own:
        return own[path]
    if path in CUPY["same"]:  # dtypes and constants
        return getattr(np, path)
    if any(name.startswith(path + ".") for name in (*own, *CUPY["functions"])):
        return StrictXp(path + ".")
    if path not in CUPY["functions"]:
        raise AttributeError(f"CuPy {CUPY['version']} has no {path!r}, or none that can be tried without a GPU")
    try:
        return strict(path, attrgetter(path)(np), CUPY["functions"][path])
    except AttributeError:
        raise AttributeError(f"CuPy has {path!r} and NumPy has not: it cannot be tried without a GPU") from None


def strict(path, function, signature):
    """Return a function of NumPy that takes and refuses what CuPy's of the same name does."""
    is_ufunc = isinstance(function, np.ufunc)
    needs_array = path not in ANSWERS and signature.partition(",")[0] in OPERAND

    def checked(*arguments, **keywords):
        demand_signature(f"xp.{path}", signature, arguments, keywords)
        if path in CONVERT and not on_device(arguments[0]):
            record("copies", "to the device")
            keywords.pop("blocking", None)
            return array_of(np.array(function(*arguments, **keywords)))  # never the memory of the host's own
        refused = [x for x in arguments if not is_operand(x)] if is_ufunc else []
        if refused or (needs_array and not is_ufunc and arguments and not on_device(arguments[0])):
            raise TypeError(f"xp.{path} {HOST}")
        if path in WAITING or (path == "where" and len(arguments) == 1):
            record("synchronisations", f"{path}()")
        result = call(None if path in FREE else path, function, arguments, keywords)
        return array_of(np.asarray(result)) if path in TRUTHS else result

    return checked


def on_device(value):
    """Whether a value is an array of the device, or a list of such."""
    return isinstance(value, ndarray) or (isinstance(value, list | tuple) and any(on_device(part) for part in value))


class Generator:
    """The methods of `cupy.random.Generator` with their arguments; the numbers are those of NumPy's."""

    def __init__(self, rng):
        self._rng = rng

    def __getattr__(self, name):
        if name not in CUPY["generator"]:
            raise AttributeError(f"cupy.random.Generator has no {name!r}")

        def draw(*arguments, **keywords):
            demand_signature(f"rng.{name}", CUPY["generator"][name], arguments, keywords)
            method = getattr(self._rng, name)
            return call(name, lambda *a, **k: np.asarray(method(*a, **k)), arguments, keywords)

        return draw


strict_xp = StrictXp()
