"""Layers that move numbers without computing with them: Flatten, Reshape; and Dropout, which removes some."""

import math

from scratchgan import xp
from scratchgan.layers.base import Layer, check


class Reshape(Layer):
    """Give every sample of x another shape, with as many elements: (N, ...) -> (N, *shape)."""

    def __init__(self, *shape):
        self.shape = shape

    def __repr__(self):
        return f"Reshape{self.shape}"

    def forward(self, x, train=True):
        check(self, "x", x)
        if x.ndim < 1 or math.prod(x.shape[1:]) != math.prod(self.shape):
            wanted = f"(N, ...) with {math.prod(self.shape)} elements a sample"
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted {wanted}")
        return x.reshape(x.shape[:1] + self.shape), x.shape

    def backward(self, shape, dy, grads=True):
        return check(self, "dy", dy, shape[:1] + self.shape).reshape(shape)

    def double_backward(self, shape, dy, ddx, grads=True):
        return check(self, "ddx", ddx, shape).reshape(dy.shape), None


class Flatten(Layer):
    """Make every sample of x a vector: (N, ...) -> (N, F)."""

    def __repr__(self):
        return "Flatten()"

    def forward(self, x, train=True):
        check(self, "x", x)
        return x.reshape(flat_shape(x.shape)), x.shape

    def backward(self, shape, dy, grads=True):
        return check(self, "dy", dy, flat_shape(shape)).reshape(shape)

    def double_backward(self, shape, dy, ddx, grads=True):
        return check(self, "ddx", ddx, shape).reshape(dy.shape), None


class Dropout(Layer):
    """In training, set each element to 0 with probability `rate` and divide the rest by 1 - rate.

    y = mask x, with E[mask] = 1, so that inference is the identity (Srivastava et al. 2014, section 10).
    """

    def __init__(self, rate, *, rng):
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate is {rate}, wanted 0 <= rate < 1")
        self.rate, self.rng = float(rate), rng

    def __repr__(self):
        return f"Dropout({self.rate})"

    def forward(self, x, train=True):
        check(self, "x", x)
        if not train:
            return x, xp.ones_like(x)
        keep = self.rng.random(x.shape, dtype="float32") >= self.rate  # drawn on the host
        mask = xp.to_device(keep, x.dtype) / (1 - self.rate)
        return x * mask, mask

    def backward(self, mask, dy, grads=True):
        return check(self, "dy", dy, mask.shape, mask.dtype) * mask

    def double_backward(self, mask, dy, ddx, grads=True):
        return self.backward(mask, ddx), None  # y = mask x is linear, and mask its own adjoint


def flat_shape(shape):
    """Return (N, F) for a shape (N, ...); F is counted, so that N may be 0."""
    return (shape[0], math.prod(shape[1:]))
