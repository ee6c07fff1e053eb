"""Arrays and tuples of them, nested, which x and y of a layer may be; and their gradients, where None is zero."""

import copy

import numpy as np

from scratchgan import xp
from scratchgan.layers import Layer

TINY = 1e-20  # the length of a complex step


def each(f, x):
    """Return f(array) for each array of x, in x's structure."""
    return tuple(each(f, part) for part in x) if isinstance(x, tuple) else f(x)


def parts(x):
    """Return the arrays of x in a list."""
    return [array for part in x for array in parts(part)] if isinstance(x, tuple) else [x]


def in_structure_of(x, arrays):
    """Return the arrays of a list in x's structure."""
    rest = iter(arrays)
    return each(lambda _: next(rest), x)


def is_float(array):
    return array.dtype.kind in "fc"


def each_float(f, x):
    """Return f(array) for each array of x that is not of integers, which stay, in x's structure."""
    return each(lambda array: f(array) if is_float(array) else array, x)


def filled(gradient, x):
    """Return a gradient with respect to x as a list: an array for each one of x, zeros where it is None."""
    if isinstance(x, tuple):
        assert gradient is None or isinstance(gradient, tuple), f"a {type(gradient).__name__}, wanted a tuple"
        gradient = (None,) * len(x) if gradient is None else gradient
        return [array for pair in zip(gradient, x, strict=True) for array in filled(*pair)]
    if not is_float(x):
        assert gradient is None, "integers have no gradient"
        return []
    return [xp.zeros_like(x) if gradient is None else gradient]


def direction(x, rng):
    """Return a random gradient with respect to x."""
    return each(lambda array: rng.standard_normal(array.shape) if is_float(array) else None, x)


def moved(x, v):
    """Return x after a complex step along v."""
    if isinstance(x, tuple):
        return tuple(map(moved, x, v))
    return x if v is None else x + TINY * 1j * v


def slope(y):
    """Return how y moved in a complex step, as a list."""
    return [array.imag / TINY for array in parts(y) if is_float(array)]


# ---- for the public checker ------------------------------------------------------------------------------


class AsOne(Layer):
    """A layer of nested tuples as one of vectors, for the public checker: all of x in a row, and all of y."""

    def __init__(self, layer, x):
        self.layer, self.x = layer, x

    def vector(self, gradient, x):
        return np.concatenate([array.ravel() for array in filled(gradient, x)])

    def structured(self, vector, x):
        """Return the numbers of a vector in x's structure; None for integers."""
        places = np.cumsum([array.size if is_float(array) else 0 for array in parts(x)])
        pieces = zip(np.split(vector, places[:-1]), parts(x), strict=True)
        return in_structure_of(x, [piece.reshape(a.shape) if is_float(a) else None for piece, a in pieces])

    def forward(self, x, train=True):
        floats = parts(self.structured(x, self.x))
        given = [a if own is None else own for own, a in zip(floats, parts(self.x), strict=True)]
        y, tape = self.layer.forward(in_structure_of(self.x, given), train)
        return self.vector(each(lambda a: a if is_float(a) else None, y), y), (tape, y)

    def pull(self, tape, dy):
        dx, kept = self.layer.pull(tape[0], self.structured(dy, tape[1]))
        return self.vector(dx, self.x), kept

    def accumulate(self, tape, dy):
        self.layer.accumulate(tape[0], self.structured(dy, tape[1]))

    def double_backward(self, tape, kept, ddx):
        ddy, bend = self.layer.double_backward(tape[0], kept, self.structured(ddx, self.x))
        return self.vector(ddy, tape[1]), self.vector(bend, self.x)


def as_checked(layer, x):
    """Return a layer and an x as the public checker takes them: an array or several, and one y."""
    nested = isinstance(x, tuple) and (len(x) < 2 or any(isinstance(part, tuple) for part in x))
    if not (nested or isinstance(copy.deepcopy(layer).forward(x)[0], tuple)):
        return layer, x
    return AsOne(layer, x), np.concatenate([array.ravel() for array in parts(x) if is_float(array)])
