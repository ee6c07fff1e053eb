"""Layers that move numbers without computing with them: Flatten, Reshape, Rotations; and two that disturb them."""

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


class Rotations(Layer):
    """Turn each picture by 0, 90, 180 and 270 degrees anticlockwise: (N, H, H, C) -> (4 N, H, H, C).

    All N as they are first, then all N turned by 90 degrees, and so on. Each turn is a permutation of pixels, whose
    adjoint is the turn back: dx is the sum of the four dy, each turned back.
    """

    def __repr__(self):
        return "Rotations()"

    def forward(self, x, train=True):
        check(self, "x", x)
        if x.ndim != 4 or x.shape[1] != x.shape[2]:
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted square pictures (N, H, H, C)")
        return xp.concatenate([xp.rot90(x, turns, axes=(1, 2)) for turns in range(4)]), x.shape

    def backward(self, shape, dy, grads=True):
        parts = check(self, "dy", dy, (4 * shape[0], *shape[1:])).reshape(4, *shape)
        return sum(xp.rot90(part, -turns, axes=(1, 2)) for turns, part in enumerate(parts))

    def double_backward(self, shape, dy, ddx, grads=True):
        return self.forward(check(self, "ddx", ddx, shape))[0], None  # linear, and without parameters


class GaussianNoise(Layer):
    """In training, y = x + std noise, a standard normal number for each element; in inference y = x.

    What a semi-supervised discriminator's layers see (Salimans et al. 2016, appendix): it cannot rely on details.
    """

    def __init__(self, std, *, rng):
        if not 0 <= std < math.inf:
            raise ValueError(f"GaussianNoise: std is {std}, wanted a number from 0 upwards")
        self.std, self.rng = float(std), rng

    def __repr__(self):
        return f"GaussianNoise({self.std})"

    def forward(self, x, train=True):
        check(self, "x", x)
        if not train:
            return x, x.shape
        noise = self.rng.standard_normal(x.shape, dtype="float32")  # drawn on the host
        return x + self.std * xp.to_device(noise, x.dtype), x.shape

    def backward(self, shape, dy, grads=True):
        return check(self, "dy", dy, shape)

    def double_backward(self, shape, dy, ddx, grads=True):
        return check(self, "ddx", ddx, shape), None


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
