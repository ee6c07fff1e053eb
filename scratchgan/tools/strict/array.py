"""ndarray: an array in host memory that behaves as one of CuPy's does on a GPU, and counts what it is asked for."""

import functools
import inspect
import json
from pathlib import Path

import numpy as np

from scratchgan.tools.strict.counts import record

CUPY = json.loads(Path(__file__).with_name("cupy_signatures.json").read_text(encoding="utf-8"))
HOST = "was given an array or a list of the host: xp.to_device(x) copies it to the device"
PLAIN = ("dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides")
VIEWS = ("T", "mT", "real", "imag")
WAITING = ("choose", "compress", "nonzero")  # methods whose result has a shape that only the device knows
OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
}  # fmt: skip
COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
TO_HOST = {
    "__float__": float, "__int__": int, "__complex__": complex, "__bool__": bool, "__repr__": repr, "__str__": str,
    "__format__": format, "item": np.ndarray.item, "tolist": np.ndarray.tolist,
}  # fmt: skip
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


class ndarray:
    """What `strict_xp` computes with: `xp.ndarray` while it is in use.

    It has those methods of CuPy's array that NumPy's has too, with CuPy's arguments, and refuses what CuPy refuses.
    A result without axes stays an array: only `float`, `item` and their like make a number of it, and are counted.
    """

    __slots__ = ("_host",)
    __hash__ = None

    def __init__(self, shape, dtype=float):
        self._host = np.empty(shape, dtype)

    def __getattr__(self, name):
        if name in PLAIN:
            return getattr(self._host, name)
        if name in VIEWS:
            return call(name, lambda x: getattr(x, name), (self,))
        if name in CUPY["methods"] and hasattr(np.ndarray, name):
            return functools.partial(self._method, name)
        known = name in CUPY["methods"] or name in CUPY["attributes"]
        raise AttributeError(f"arrays of {'the stand-in' if known else 'CuPy'} have no {name!r}")

    def _method(self, name, *arguments, **keywords):
        demand_signature(f"x.{name}", CUPY["methods"][name], arguments, keywords)
        if name in WAITING:
            record("synchronisations", f"{name}()")
        return call(name, getattr(np.ndarray, name), (self, *arguments), keywords)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    # ---- what NumPy may not do with it ----

    def __array__(self, *arguments, **keywords):
        raise TypeError("NumPy was given an array of the device: xp.to_host(x) copies it to the host")

    def __array_function__(self, function, types, arguments, keywords):
        raise TypeError(f"numpy.{function.__name__} was given an array of the device: write xp.{function.__name__}")

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        first = inputs[0]
        if ufunc in COMPARISONS.values() and isinstance(first, np.ndarray) and first.ndim == 0:
            first = first[()]  # NumPy made it of its number in `number > x`
        if method == "__call__" and isinstance(first, np.generic):  # a number of NumPy's, which CuPy takes
            return call(ufunc.__name__, ufunc, (first, *inputs[1:]), keywords)
        if any(isinstance(x, np.ndarray) for x in inputs):
            raise TypeError(f"{ufunc.__name__} {HOST}")
        raise TypeError(f"numpy.{ufunc.__name__} was given an array of the device: write xp.{ufunc.__name__}")

    # ---- to the host and back ----

    def get(self, stream=None, order="C", out=None, blocking=True):
        """Return a copy as a NumPy array; as float(x), x.item() and others below, this waits for the device."""
        return self._fetch("get()")

    def _fetch(self, how):
        record("synchronisations", how)
        record("copies", "to the host")
        return self._host.copy()

    def set(self, array, stream=None):
        """Copy a NumPy array of the same shape and dtype into this one."""
        if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != (self.shape, self.dtype):
            raise ValueError(f"x.set takes a NumPy array of shape {self.shape} and {self.dtype}")
        record("copies", "to the device")
        self._host[...] = array

    # ---- indices ----

    def __getitem__(self, index):
        index = index_of(index)
        return call("take", lambda x, *index: x[index], (self, *index))

    def __setitem__(self, index, value):
        index = index_of(index)
        if not is_operand(value):
            raise TypeError(f"x[...] = value {HOST}")
        if any(isinstance(part, ndarray) for part in index):
            numbers = np.arange(self.size).reshape(self.shape)[tuple(inside(part, []) for part in index)]
            if len(np.unique(numbers)) < numbers.size:
                raise ValueError("x[index] = value names an element twice: which value it gets is undefined")
        elif isinstance(value, ndarray) and self._host[index].__array_interface__ == value._host.__array_interface__:
            return  # x[index] += y, which has written to the view x[index] already
        call("copy", lambda x, value, *index: x.__setitem__(index, value), (self, value, *index))


def index_of(index):
    """Return an index as a tuple with an Ellipsis, its lists and NumPy arrays copied to the device; a mask waits."""
    parts = list(index) if isinstance(index, tuple) else [index]
    for i, part in enumerate(parts):
        if isinstance(part, list | np.ndarray):
            record("copies", "an index to the device")
            parts[i] = array_of(np.array(part))
    if any(isinstance(part, ndarray) and part.dtype == bool for part in parts):
        record("synchronisations", "x[mask]")  # how many are True?
    return tuple(parts) if any(part is Ellipsis for part in parts) else (*parts, ...)  # with it, x[0] is a view


# ---- operators -------------------------------------------------------------------------------------------


def is_operand(value):
    """Whether a value may stand beside an array: another one, or a number."""
    return isinstance(value, ndarray | bool | int | float | complex | np.generic)


def method_of(ufunc, reverse=False):
    """Return the method for x + y, or for y + x."""

    def method(self, other):
        if is_operand(other):
            return call(ufunc.__name__, ufunc, (other, self) if reverse else (self, other))
        if isinstance(other, np.ndarray | list | tuple):
            raise TypeError(f"{ufunc.__name__} {HOST}")
        return NotImplemented

    return method


def method_in_place(ufunc):
    """Return the method for x += y."""

    def method(self, other):
        if not is_operand(other):
            raise TypeError(f"{ufunc.__name__} {HOST}")
        return call(ufunc.__name__, ufunc, (self, other), {"out": self})

    return method


for symbol, ufunc in (OPERATORS | COMPARISONS).items():
    setattr(ndarray, f"__{symbol}__", method_of(ufunc))
    if symbol in OPERATORS:
        setattr(ndarray, f"__r{symbol}__", method_of(ufunc, reverse=True))
    if symbol in OPERATORS and symbol != "matmul":  # CuPy has no x @= y
        setattr(ndarray, f"__i{symbol}__", method_in_place(ufunc))
for name, convert in TO_HOST.items():
    setattr(ndarray, name, lambda self, *spec, how=name, f=convert: f(self._fetch(how.strip("_") + "()"), *spec))
for symbol, ufunc in UNARY.items():
    setattr(ndarray, f"__{symbol}__", lambda self, ufunc=ufunc: call(ufunc.__name__, ufunc, (self,)))


# ---- how everything is computed --------------------------------------------------------------------------


def call(name, function, arguments, keywords=None):
    """Return what a NumPy function makes of the arrays inside of the arguments, as an array, and count it.

    It is one operation, unless all that it returns are views of what it was given, or it has no name.
    """
    arrays, keywords = [], keywords or {}
    host_arguments = [inside(value, arrays) for value in arguments]
    host_keywords = {key: inside(value, arrays) for key, value in keywords.items()}
    with np.errstate(all="ignore"):  # a GPU does not warn
        result = function(*host_arguments, **host_keywords)
    parts = result if isinstance(result, list | tuple) else [result]
    computed = result is None or keywords.get("out") is not None or any(is_new(part, arrays) for part in parts)
    if name and computed:
        record("operations", name)
    return outside(result, arrays)


def inside(value, arrays):
    """Return the NumPy array in an array, also in a list or tuple, and note the array down; refuse NumPy's own."""
    if isinstance(value, ndarray):
        arrays.append(value)
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"this {HOST}")
    if type(value) in (list, tuple):
        return type(value)(inside(part, arrays) for part in value)
    return value


def is_new(result, arrays):
    """Whether a result holds numbers of its own."""
    if isinstance(result, np.ndarray):
        return result.size > 0 and not any(np.may_share_memory(result, array._host) for array in arrays)
    return isinstance(result, np.generic)


def outside(result, arrays):
    """Return a result of NumPy as an array: the very one that was handed in, if it was written into that."""
    if isinstance(result, list | tuple):
        parts = [outside(part, arrays) for part in result]
        return parts if isinstance(result, list) else tuple(parts)
    for array in arrays:
        if result is array._host:
            return array
    return array_of(np.asarray(result)) if isinstance(result, np.ndarray | np.generic) else result


def array_of(host):
    """Return an array around one of NumPy's, which from then on belongs to it."""
    if host.dtype.kind not in "biufc" or host.dtype.itemsize > 8 * (1 + (host.dtype.kind == "c")):
        raise ValueError(f"CuPy has no arrays of {host.dtype}")
    array = object.__new__(ndarray)
    array._host = host
    return array


def demand_signature(name, text, arguments, keywords):
    """Raise TypeError unless CuPy's function of this signature takes these arguments."""
    try:
        parse(text).bind(*arguments, **keywords)
    except TypeError as error:
        raise TypeError(f"{name}: {error}; in CuPy {CUPY['version']} it is {name}({text})") from None


@functools.cache
def parse(text):
    """Return the `inspect.Signature` of a text such as "a, axis=, *, dtype="."""
    kind = inspect.Parameter.POSITIONAL_ONLY if "/" in text else inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = []
    for part in text.split(", ") if text else []:
        name, default = part.strip("*="), None if part.endswith("=") else inspect.Parameter.empty
        if part.startswith("**"):
            parameters.append(inspect.Parameter(name, inspect.Parameter.VAR_KEYWORD))
        elif name == "/":
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        elif part.startswith("*"):
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters += [inspect.Parameter(name, inspect.Parameter.VAR_POSITIONAL)] if name else []
        else:
            parameters.append(inspect.Parameter(name, kind, default=default))
    return inspect.Signature(parameters)
