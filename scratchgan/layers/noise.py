"""Layers that draw in training, not in inference: noise, samples, shifted phases."""

import math

from scratchgan import xp
from scratchgan.layers.base import Layer, add, check
from scratchgan.layers.compose import demand_tuple
from scratchgan.layers.resample import Pad


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


class GaussianSample(Layer):
    """In training, y ~ N(mean, exp(log_var)), drawn as y = mean + exp(log_var / 2) n, n ~ N(0, 1).

    For a pair (mean, log_var) of equal shapes; in inference y = mean. So written, a sample has a
    gradient at both (Kingma & Welling 2014, the reparameterization trick).
    """

    takes_pair = True

    def __init__(self, *, rng):
        self.rng = rng

    def __repr__(self):
        return "GaussianSample()"

    def forward(self, pair, train=True):
        demand_tuple(self, pair, 2, "a pair (mean, log_var)")
        mean, log_var = pair
        check(self, "mean", mean)
        check(self, "log_var", log_var, mean.shape, mean.dtype)
        if not train:
            return mean, xp.zeros_like(mean)
        noise = self.rng.standard_normal(mean.shape, dtype="float32")  # drawn on the host
        shift = xp.exp(0.5 * log_var) * xp.to_device(noise, mean.dtype)  # whose slope is its half
        return mean + shift, shift

    def pull(self, shift, dy):
        check(self, "dy", dy, shift.shape, shift.dtype)
        return (dy, 0.5 * shift * dy), dy

    def double_backward(self, shift, dy, ddx):
        # <ddx, dx> = <dd_mean, dy> + <dd_log_var, shift dy / 2>, and shift bends as it slopes.
        dd_mean, dd_log_var = ddx
        if dd_mean is not None:
            check(self, "ddx[0]", dd_mean, shift.shape, shift.dtype)
        if dd_log_var is None:
            return dd_mean, None
        check(self, "ddx[1]", dd_log_var, shift.shape, shift.dtype)
        along = 0.5 * shift * dd_log_var
        return add(dd_mean, along), (None, 0.5 * along * dy)


class PhaseShuffle(Layer):
    """In training, y[n, t] = x[n, t + k_n]: each sequence is shifted; in inference y = x.

    k_n is one of -radius, ..., radius, all as likely; beyond its ends x is reflected, x1 | x0 x1.
    So D cannot tell G's sounds by the phase at which transposed convolutions hum (Donahue et al.
    2019). Their code draws one k for a whole batch; here each sequence has its own.
    x: (N, L, C). Raises ValueError where radius is not below L.
    """

    def __init__(self, radius, *, rng):
        if not isinstance(radius, int) or radius < 0:
            raise ValueError(f"PhaseShuffle: radius is {radius}, wanted a whole number from 0")
        self.radius, self.rng = radius, rng

    def __repr__(self):
        return f"PhaseShuffle({self.radius})"

    def forward(self, x, train=True):
        check(self, "x", x)
        if x.ndim != 3 or x.shape[1] <= self.radius:
            wanted = f"(N, L, C) with L above {self.radius}"
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted {wanted}")
        N, L, _ = x.shape
        k = xp.zeros(N, dtype="int64")
        if train:
            k = xp.to_device(self.rng.integers(-self.radius, self.radius + 1, N))  # on the host
        where = xp.arange(N)[:, None], k[:, None] + (self.radius + xp.arange(L))
        return self.shift(x, where), (x.shape, where)

    def pull(self, tape, dy):
        # Each step of the padded x is seen once or never: dy goes back to it, and Pad's adjoint
        # adds what is shown twice.
        shape, where = tape
        check(self, "dy", dy, shape)
        dx = xp.zeros(self.pad.output_shape(shape), dtype=dy.dtype)
        dx[where] = dy
        return self.pad.adjoint(dx, shape), None

    def double_backward(self, tape, kept, ddx):
        # y is linear in x.
        shape, where = tape
        check(self, "ddx", ddx, shape)
        return self.shift(ddx, where), None

    @property
    def pad(self):
        return Pad(self.radius, mode="reflect")

    def shift(self, x, where):
        return self.pad.apply(x)[where]
