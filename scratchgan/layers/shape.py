"""Layers that give the numbers of a sample another shape: Reshape, Flatten."""

import math

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
