"""Twins of activations: one kernel on a GPU; on the CPU no array that is not needed, and threads.

NumPy's maximum of an array and a number takes four times as long as that of two arrays, or `clip`.
"""

from scratchgan import xp
from scratchgan.fast import kernels, threads
from scratchgan.layers import functions
from scratchgan.layers.activations import ReLU
from scratchgan.layers.base import check

plain_softplus, plain_sigmoid = functions.softplus, functions.sigmoid
plain_relu = ReLU.f


def pull(self, y, dy):
    """Return dx and what is kept of Pointwise.pull."""
    check(self, "dy", dy, y.shape, y.dtype)
    parts = threads.parts(y)
    if len(parts) > 1:
        dx = xp.empty_like(dy)
        work = lambda part: xp.multiply(dy[part], self.derivative(y[part]), out=dx[part])
        threads.each(work, parts)
        return dx, dy
    slopes = self.derivative(y)
    if xp.on_gpu() or getattr(self.derivative, "__func__", None) is not leaky_relu_derivative:
        return dy * slopes, dy  # slopes may be somebody's
    slopes *= dy
    return slopes, dy


def relu(self, x):
    if xp.on_gpu() or x.dtype.kind != "f":
        return plain_relu(self, x)
    y = xp.empty_like(x)
    threads.each(lambda part: xp.clip(x[part], 0, xp.inf, out=y[part]), threads.parts(x))
    return y


def leaky_relu(self, x):
    if kernels.can_take(x):
        return kernels.leaky_relu(x, self.slope)
    y = xp.empty_like(x)

    def work(part):
        xp.multiply(x[part], self.slope, out=y[part])
        xp.maximum(x[part], y[part], out=y[part])

    threads.each(work, threads.parts(x))
    return y


def leaky_relu_derivative(self, y):
    if kernels.can_take(y):
        return kernels.slopes(y, self.slope)
    positive = (y > 0).astype(y.dtype)
    return xp.clip(positive, self.slope, 1, out=positive)


def softplus(x):
    return kernels.softplus(x) if kernels.can_take(x) else plain_softplus(x)


def sigmoid(x):
    return kernels.sigmoid(x) if kernels.can_take(x) else plain_sigmoid(x)
