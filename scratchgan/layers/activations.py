"""Activations, with both derivatives in terms of their output y; PReLU, softmax, maxout."""

import math

from scratchgan import xp
from scratchgan.layers import functions, sums
from scratchgan.layers.base import Layer, Pointwise, check
from scratchgan.param import Param


class ReLU(Pointwise):
    """y = max(x, 0). Its derivative at 0 is taken to be 0."""

    def __repr__(self):
        return "ReLU()"

    def f(self, x):
        return xp.maximum(x, 0)

    def derivative(self, y):
        return y > 0


class LeakyReLU(Pointwise):
    """y = x where x > 0, slope x elsewhere, 0 <= slope <= 1; f'(0) = slope (Maas et al. 2013)."""

    def __init__(self, slope=0.2):
        if not 0 <= slope <= 1:
            raise ValueError(f"LeakyReLU: slope is {slope}, wanted a number from 0 to 1")
        self.slope = float(slope)

    def __repr__(self):
        return f"LeakyReLU({self.slope})"

    def f(self, x):
        return xp.maximum(x, self.slope * x)

    def derivative(self, y):
        return xp.maximum((y > 0).astype(y.dtype), self.slope)  # 1 or slope


class Tanh(Pointwise):
    """y = tanh(x), with f' = 1 - y^2 and f'' = -2 y (1 - y^2)."""

    def __repr__(self):
        return "Tanh()"

    def f(self, x):
        return xp.tanh(x)

    def derivative(self, y):
        return 1 - y * y

    def second_derivative(self, y):
        return -2 * y * (1 - y * y)


class Sigmoid(Pointwise):
    """y = 1 / (1 + exp(-x)), with f' = y (1 - y) and f'' = y (1 - y) (1 - 2 y).

    No loss of this library wants it as a discriminator's last layer: losses take logits.
    """

    def __repr__(self):
        return "Sigmoid()"

    def f(self, x):
        return functions.sigmoid(x)

    def derivative(self, y):
        return y * (1 - y)

    def second_derivative(self, y):
        return y * (1 - y) * (1 - 2 * y)


class Softplus(Pointwise):
    """y = log(1 + exp(x)), a smooth ReLU: f' = 1 - exp(-y) and f'' = (1 - exp(-y)) exp(-y)."""

    def __repr__(self):
        return "Softplus()"

    def f(self, x):
        return functions.softplus(x)

    def derivative(self, y):
        return -xp.expm1(-y)

    def second_derivative(self, y):
        return -xp.expm1(-y) * xp.exp(-y)


class ELU(Pointwise):
    """y = x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016, eq. 15).

    f' = 1 and f'' = 0 where x > 0, else f' = f'' = y + alpha. With alpha other than 1, f' jumps at
    0, where it is taken to be alpha.
    """

    def __init__(self, alpha=1.0):
        if alpha <= 0:
            raise ValueError(f"ELU: alpha is {alpha}, wanted a number above 0")
        self.alpha = float(alpha)

    def __repr__(self):
        return f"ELU({self.alpha})"

    def f(self, x):
        return xp.where(x > 0, x, self.alpha * xp.expm1(xp.minimum(x, 0)))

    def derivative(self, y):
        return xp.where(y > 0, 1, y + self.alpha)

    def second_derivative(self, y):
        return xp.where(y > 0, 0, y + self.alpha)


class Surprise(Pointwise):
    """y = -log sigmoid(x) for truth = 1, -log (1 - sigmoid(x)) for truth = -1: a loss as a layer.

    y = softplus(-truth x), with f' = -truth (1 - exp(-y)) and f'' = (1 - exp(-y)) exp(-y). With its
    loss inside the network, one `double_backward` knows how the loss bends.
    """

    def __init__(self, truth):
        self.truth = truth

    def __repr__(self):
        return f"Surprise({self.truth})"

    def f(self, x):
        return functions.softplus(-self.truth * x)

    def derivative(self, y):
        return self.truth * xp.expm1(-y)

    def second_derivative(self, y):
        return -xp.expm1(-y) * xp.exp(-y)


class PReLU(Layer):
    """y = x where x > 0, a[c] x elsewhere: a LeakyReLU that learns its slopes (He et al. 2015).

    a, (C,), a slope for each channel of x (N, ..., C), starts as 1/4. The derivative at 0 is a.
    """

    def __init__(self, channels, slope=0.25):
        self.channels, self.slope = channels, slope
        self.a = Param(xp.full(channels, slope, dtype="float32"))

    def __repr__(self):
        return f"PReLU({self.channels})"

    def forward(self, x, train=True):
        a = self.a.value
        check(self, "x", x, dtype=a.dtype)
        check(self, "x", x, (*x.shape[:-1], self.channels))
        return xp.where(x > 0, x, a * x), (x, xp.where(x > 0, 1, a).astype(a.dtype))

    def pull(self, tape, dy):
        x, slope = tape
        check(self, "dy", dy, x.shape, x.dtype)
        return slope * dy, dy

    def accumulate(self, tape, dy):
        x, _ = tape
        check(self, "dy", dy, x.shape, x.dtype)
        self.a.grad += sums.over_rows(dy * xp.minimum(x, 0))

    def double_backward(self, tape, dy, ddx):
        # dx = slope dy, and slope is a where x <= 0: it bends with a, not with x.
        x, slope = tape
        check(self, "ddx", ddx, x.shape, x.dtype)
        self.a.grad += sums.over_rows(ddx * dy * (x <= 0))
        return slope * ddx, None


# ---- over the channels of each vector ------------------------------------------------------------


class Softmax(Layer):
    """y_i = exp(x_i / T) / sum_j exp(x_j / T), over the last axis. Not for losses: they take logits.

    T is the temperature: below 1 the largest y grows, above 1 all come nearer to each other.
    """

    def __init__(self, temperature=1.0):
        if not 0 < temperature < math.inf:
            raise ValueError(f"Softmax: temperature is {temperature}, wanted a number above 0")
        self.temperature = float(temperature)

    def __repr__(self):
        return f"Softmax({self.temperature:g})" if self.temperature != 1 else "Softmax()"

    def forward(self, x, train=True):
        check(self, "x", x)
        y = xp.exp(functions.log_softmax(x * (1 / self.temperature)))
        return y, y

    def pull(self, y, dy):
        # The Jacobian is symmetric: dx_i = y_i (dy_i - sum_j y_j dy_j) / T.
        check(self, "dy", dy, y.shape, y.dtype)
        return functions.softmax_pull(y, dy) * (1 / self.temperature), dy

    def double_backward(self, y, dy, ddx):
        # L = sum_i ddx_i y_i (dy_i - <y, dy>) / T. First T dL/dy, dy held fixed, then back to x.
        check(self, "ddx", ddx, y.shape, y.dtype)
        along_dy = (y * dy).sum(-1, keepdims=True)  # <y, dy>, (..., 1)
        along_ddx = (y * ddx).sum(-1, keepdims=True)
        at_y = ddx * (dy - along_dy) - dy * along_ddx
        ddy = functions.softmax_pull(y, ddx) * (1 / self.temperature)
        return ddy, functions.softmax_pull(y, at_y) * (1 / self.temperature**2)


class LogSoftmax(Layer):
    """y_i = x_i - log sum_j exp(x_j), over the last axis."""

    def __repr__(self):
        return "LogSoftmax()"

    def forward(self, x, train=True):
        check(self, "x", x)
        y = functions.log_softmax(x)
        return y, y

    def pull(self, y, dy):
        check(self, "dy", dy, y.shape, y.dtype)
        return dy - xp.exp(y) * dy.sum(-1, keepdims=True), dy

    def double_backward(self, y, dy, ddx):
        # L = <ddx, dy> - <ddx, p> sum_i dy_i with p = exp(y), the softmax of x.
        check(self, "ddx", ddx, y.shape, y.dtype)
        p = xp.exp(y)
        ddy = ddx - (p * ddx).sum(-1, keepdims=True)
        return ddy, functions.softmax_pull(p, -ddx * dy.sum(-1, keepdims=True))


class Maxout(Layer):
    """The largest of `pieces` candidates for each feature: (N, ..., pieces F) -> (N, ..., F).

        y[f] = max over p of x[p F + f]        (Goodfellow et al. 2013, section 3)

    With straight lines as candidates, from a Dense layer to pieces F features, y is a convex
    function of what that layer sees. Of several largest, the first receives the whole gradient.
    Raises ValueError where `pieces` does not divide the last axis of x.
    """

    def __init__(self, pieces):
        if not (isinstance(pieces, int) and pieces > 0):
            raise ValueError(f"Maxout: pieces is {pieces}, wanted a whole number from 1 on")
        self.pieces = pieces

    def __repr__(self):
        return f"Maxout({self.pieces})"

    def output_shape(self, shape):
        """Return the shape of y for an x of this shape; raise ValueError if there is none."""
        if len(shape) < 2 or shape[-1] % self.pieces:
            raise ValueError(f"{self!r}: x has shape {shape}, wanted C a multiple of {self.pieces}")
        return shape[:-1] + (shape[-1] // self.pieces,)

    def forward(self, x, train=True):
        check(self, "x", x)
        shape = self.output_shape(x.shape)
        candidates = x.reshape(-1, self.pieces, shape[-1])  # (N * ..., pieces, F)
        y = candidates.max(1)
        chosen = candidates == y[:, None]
        for piece in range(1, self.pieces):  # of equals, the first
            chosen[:, piece] &= ~chosen[:, :piece].any(1)
        return y.reshape(shape), (x.shape, chosen)

    def pull(self, tape, dy):
        shape, chosen = tape
        check(self, "dy", dy, self.output_shape(shape))
        return (chosen * dy.reshape(-1, 1, dy.shape[-1])).reshape(shape), None

    def double_backward(self, tape, kept, ddx):
        # dx does not change with x as long as the same candidates are the largest.
        shape, chosen = tape
        check(self, "ddx", ddx, shape)
        candidates = ddx.reshape(chosen.shape)
        return (chosen * candidates).sum(1).reshape(self.output_shape(shape)), None
