"""Layers that disturb x in training, and leave it alone in inference: Dropout, GaussianNoise."""

import math

from scratchgan import xp
from scratchgan.layers.base import Layer, check


class Dropout(Layer):
    """In training, set each element to 0 with probability `rate` and divide the rest by 1 - rate.

    y = mask x, with E[mask] = 1: so inference is the identity (Srivastava et al. 2014, section 10).
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

    def pull(self, mask, dy):
        check(self, "dy", dy, mask.shape, mask.dtype)
        return mask * dy, None

    def double_backward(self, mask, kept, ddx):
        # y = mask x is linear in x, and its own adjoint.
        check(self, "ddx", ddx, mask.shape, mask.dtype)
        return mask * ddx, None


class GaussianNoise(Layer):
    """In training, y = x + std n, n ~ N(0, 1) for each element; in inference y = x.

    It keeps a semi-supervised D from relying on details (Salimans et al. 2016, appendix).
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

    def pull(self, shape, dy):
        check(self, "dy", dy, shape)
        return dy, None

    def double_backward(self, shape, kept, ddx):
        check(self, "ddx", ddx, shape)
        return ddx, None
