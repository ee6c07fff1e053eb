"""Twins of activations: one kernel on a GPU, and on the CPU no array that is not needed."""

from scratchgan import xp
from scratchgan.fast import kernels
from scratchgan.layers import functions

plain_softplus, plain_sigmoid = functions.softplus, functions.sigmoid


def leaky_relu(self, x):
    if kernels.can_take(x):
        return kernels.leaky_relu(x, self.slope)
    y = self.slope * x
    return xp.maximum(x, y, out=y)  # in place: a new array costs more than the arithmetic on it


def leaky_relu_derivative(self, y):
    if kernels.can_take(y):
        return kernels.slopes(y, self.slope)
    positive = (y > 0).astype(y.dtype)
    return xp.maximum(positive, self.slope, out=positive)


def softplus(x):
    return kernels.softplus(x) if kernels.can_take(x) else plain_softplus(x)


def sigmoid(x):
    return kernels.sigmoid(x) if kernels.can_take(x) else plain_sigmoid(x)
