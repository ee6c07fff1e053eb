"""Dense and Embedding: the two uses of a matrix."""

import math

from scratchgan import xp
from scratchgan.initializers import he, normal
from scratchgan.layers.base import Layer, LinearMap, check, check_labels
from scratchgan.param import Param


class Dense(LinearMap):
    """y = x W + b: x (N, ..., in_features), W (in_features, out_features), b (out_features,).

    Raises ValueError or TypeError, with what it got and wanted, for an x of another shape or dtype.
    """

    def __init__(self, in_features, out_features, *, rng, bias=True, initialize=he):
        W = initialize((in_features, out_features), rng)
        super().__init__(W, xp.zeros(out_features, dtype=W.dtype) if bias else None)
        self.in_features, self.out_features = in_features, out_features

    def __repr__(self):
        return f"Dense({self.in_features}, {self.out_features})"

    def output_shape(self, shape):
        if len(shape) < 2 or shape[-1] != self.in_features:
            raise ValueError(f"{self!r}: x has shape {shape}, wanted (N, {self.in_features})")
        return shape[:-1] + (self.out_features,)

    def multiply_adds(self, shape):
        """Return how many products of two numbers a forward of an x of this shape takes."""
        return math.prod(shape[:-1]) * self.W.value.size

    # <dy, x W> = <dy W^T, x> = <x^T dy, W>

    def apply(self, W, x):
        rows = x.reshape(-1, x.shape[-1])  # one two-dimensional product, whatever the rank of x
        return (rows @ W).reshape(x.shape[:-1] + W.shape[-1:])  # (N, ..., out)

    def input_grad(self, W, dy, shape):
        return (dy.reshape(-1, dy.shape[-1]) @ W.T).reshape(shape)  # (N, ..., in)

    def weight_grad(self, x, dy):
        return x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])  # (in, out)


class Embedding(Layer):
    """y = W[x]: a row of W, (classes, features), for each integer: (N, ...) -> (N, ..., features).

    A Dense layer without bias on one-hot vectors; its input has no gradient, so dx is None.
    """

    def __init__(self, classes, features, *, rng, initialize=normal):
        self.W = Param(initialize((classes, features), rng))
        self.classes, self.features = classes, features

    def __repr__(self):
        return f"Embedding({self.classes}, {self.features})"

    def forward(self, x, train=True):
        check_labels(self, "x", x, self.classes)
        return self.W.effective()[x], x

    def pull(self, x, dy):
        check(self, "dy", dy, x.shape + (self.features,), self.W.value.dtype)
        return None, None

    def accumulate(self, x, dy):
        check(self, "dy", dy, x.shape + (self.features,), self.W.value.dtype)
        self.W.accumulate(sum_by_class(x, dy, self.classes))

    def double_backward(self, x, kept, ddx):
        return None, None  # there is no dx, so nothing depends on it


def sum_by_class(labels, dy, classes):
    """Return the sum of the rows of dy, (N, ..., F), that have each label: (classes, F)."""
    # Rows that are used twice must add up: a product with one-hot rows does that in a fixed order.
    one_hot = labels.reshape(-1, 1) == xp.arange(classes)  # (N * ..., classes)
    return one_hot.astype(dy.dtype).T @ dy.reshape(-1, dy.shape[-1])
