"""Layers that give a sample another shape: Reshape, Flatten; Columns and Row, parts of a sample."""

import math

from scratchgan import xp
from scratchgan.layers.base import FixedMap


class Reshape(FixedMap):
    """Give every sample of x another shape, with as many elements: (N, ...) -> (N, *shape)."""

    def __init__(self, *shape):
        self.shape = shape

    def __repr__(self):
        return f"Reshape{self.shape}"

    def output_shape(self, shape):
        if len(shape) < 1 or math.prod(shape[1:]) != math.prod(self.shape):
            wanted = f"(N, ...) with {math.prod(self.shape)} elements a sample"
            raise ValueError(f"{self!r}: x has shape {shape}, wanted {wanted}")
        return (shape[0], *self.shape)

    def apply(self, x):
        return x.reshape(len(x), *self.shape)

    def adjoint(self, dy, shape):
        return dy.reshape(shape)


class Flatten(FixedMap):
    """Make every sample of x a vector: (N, ...) -> (N, F)."""

    def __repr__(self):
        return "Flatten()"

    def output_shape(self, shape):
        return (shape[0], math.prod(shape[1:]))

    def apply(self, x):
        return x.reshape(self.output_shape(x.shape))  # F is counted, so that N may be 0

    def adjoint(self, dy, shape):
        return dy.reshape(shape)


class Columns(FixedMap):
    """y = x[..., start:stop]: some of the channels, (N, ..., C) -> (N, ..., stop - start)."""

    def __init__(self, start, stop):
        if not 0 <= start < stop:
            raise ValueError(f"Columns: got {start} to {stop}, wanted 0 <= start < stop")
        self.start, self.stop = start, stop

    def __repr__(self):
        return f"Columns({self.start}, {self.stop})"

    def output_shape(self, shape):
        if len(shape) < 2 or shape[-1] < self.stop:
            wanted = f"(N, ..., C) with C at least {self.stop}"
            raise ValueError(f"{self!r}: x has shape {shape}, wanted {wanted}")
        return (*shape[:-1], self.stop - self.start)

    def apply(self, x):
        return xp.ascontiguousarray(x[..., self.start : self.stop])

    def adjoint(self, dy, shape):
        dx = xp.zeros(shape, dtype=dy.dtype)  # (N, ..., C)
        dx[..., self.start : self.stop] = dy
        return dx


class Row(FixedMap):
    """y = x[:, index]: one of a sample's rows, (N, n, F) -> (N, F), such as a layer's style."""

    def __init__(self, index):
        if not isinstance(index, int) or index < 0:
            raise ValueError(f"Row: index is {index!r}, wanted a whole number from 0")
        self.index = index

    def __repr__(self):
        return f"Row({self.index})"

    def output_shape(self, shape):
        if len(shape) != 3 or shape[1] <= self.index:
            wanted = f"(N, n, F) with n at least {self.index + 1}"
            raise ValueError(f"{self!r}: x has shape {shape}, wanted {wanted}")
        return (shape[0], shape[2])

    def apply(self, x):
        return xp.ascontiguousarray(x[:, self.index])

    def adjoint(self, dy, shape):
        dx = xp.zeros(shape, dtype=dy.dtype)  # (N, n, F)
        dx[:, self.index] = dy
        return dx
