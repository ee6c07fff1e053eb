"""Convolutions in one, two and three dimensions, and transposed ones: one bilinear map and its two adjoints.

The first part is the plain mathematics: three functions of one loop each. The layers below it call the same three
functions of `conv_fast.py`, which does the same with few large matrix products; a reader can ignore that file.
"""

import itertools
import math
from typing import NamedTuple

from scratchgan import xp
from scratchgan.initializers import he
from scratchgan.layers import conv_fast
from scratchgan.layers.base import Linear
from scratchgan.layers.resample import Pad


class Geometry(NamedTuple):
    """All of a convolution but its numbers: for each spatial axis one entry of each."""

    kernel: tuple
    stride: tuple
    padding: tuple  # zeros on both sides
    dilation: tuple

    def output_sides(self, sides):
        """floor((side + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 (Dumoulin & Visin 2016, relation 15)."""
        axes = zip(sides, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in axes)


# ---- the plain mathematics -------------------------------------------------------------------------------
#
# y[n, i, o] = sum over k and c of  x[n, stride i + dilation k - padding, c] W[k, c, o]      (i, k: one index an axis)
#
# For a single k this is a dense layer, y = x_k W[k], where x_k holds for each position i of y the pixel of x that
# W[k] looks at. Its adjoints are those of a dense layer, dx_k = dy W[k]^T and dW[k] = x_k^T dy. So: loop over k.


def correlate(x, W, geometry):
    """Return y (N, *output sides, O) for x (N, *sides, C) and W (*kernel, C, O)."""
    sides = geometry.output_sides(x.shape[1:-1])
    x = pad(x, geometry.padding)
    y = xp.zeros((len(x), *sides, W.shape[-1]), dtype=x.dtype)
    for k in itertools.product(*map(range, geometry.kernel)):
        y += x[pixels(k, sides, geometry)] @ W[k]
    return y


def input_grad(W, dy, shape, geometry):
    """Return dx of the given shape: the adjoint of x -> correlate(x, W), applied to dy."""
    padded = [side + 2 * p for side, p in zip(shape[1:-1], geometry.padding, strict=True)]
    dx = xp.zeros((shape[0], *padded, shape[-1]), dtype=dy.dtype)
    for k in itertools.product(*map(range, geometry.kernel)):
        dx[pixels(k, dy.shape[1:-1], geometry)] += dy @ W[k].T
    return dx[(slice(None), *[slice(p, p + n) for p, n in zip(geometry.padding, shape[1:-1], strict=True)])]


def weight_grad(x, dy, geometry):
    """Return dW (*kernel, C, O): the adjoint of W -> correlate(x, W), applied to dy."""
    x = pad(x, geometry.padding)
    dW = xp.zeros((*geometry.kernel, x.shape[-1], dy.shape[-1]), dtype=dy.dtype)
    for k in itertools.product(*map(range, geometry.kernel)):
        x_k = x[pixels(k, dy.shape[1:-1], geometry)]
        dW[k] = x_k.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
    return dW


def pixels(k, sides, geometry):
    """Return the index of the pixels of a padded x that W[k] looks at, one for each position of y."""
    axes = zip(k, sides, geometry.stride, geometry.dilation, strict=True)
    return (slice(None), *[slice(d * i, d * i + s * (side - 1) + 1, s) for i, side, s, d in axes])


def pad(x, padding):
    """Return x with zeros around its spatial axes."""
    return xp.pad(x, ((0, 0), *[(p, p) for p in padding], (0, 0)))


# ---- the layers ------------------------------------------------------------------------------------------


class Convolving(Linear):
    """What Convolution and ConvTranspose share: a convolution's sizes, and its three maps with groups and borders."""

    axes = None  # how many spatial axes: set by Conv1d, Conv2d, ...

    def set_sizes(self, in_channels, out_channels, kernel, stride, padding, dilation, groups):
        """Keep the sizes as attributes, those of space as tuples; raise ValueError where they cannot be."""
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel = self.per_axis("kernel", kernel, 1)
        self.stride = self.per_axis("stride", stride, 1)
        self.padding = self.per_axis("padding", padding, 0)
        self.dilation = self.per_axis("dilation", dilation, 1)
        if min(in_channels, out_channels, groups) < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{self!r}: {groups} groups do not divide {in_channels} and {out_channels} channels")

    def __repr__(self):
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {getattr(self, 'kernel', '?')})"

    def per_axis(self, name, value, least):
        """Return a number, or a tuple of one for each axis, as a tuple; raise ValueError if it is neither."""
        values = tuple(value) if isinstance(value, tuple | list) else (value,) * self.axes
        if len(values) != self.axes or not all(isinstance(v, int) and v >= least for v in values):
            raise ValueError(f"{self!r}: {name} is {value}, wanted a whole number from {least}, or {self.axes} of them")
        return values

    def check_axes(self, shape):
        """Raise ValueError if this cannot be the shape of x."""
        if len(shape) != self.axes + 2 or shape[-1] != self.in_channels:
            wanted = ", ".join(["N", *["L", "H, W_", "T, H, W_"][self.axes - 1 : self.axes], str(self.in_channels)])
            raise ValueError(f"{self!r}: x has shape {shape}, wanted ({wanted})")

    # The three maps. A group is a slice of the last axis of x, of y and of W: a convolution of its own.

    def correlate(self, W, x):
        return by_group(conv_fast.correlate, self.groups, (x, W), self.geometry)

    def correlate_adjoint(self, W, dy, shape):
        shape = (*shape[:-1], shape[-1] // self.groups)
        return by_group(conv_fast.input_grad, self.groups, (W, dy), shape, self.geometry)

    def outer(self, x, dy):
        return by_group(conv_fast.weight_grad, self.groups, (x, dy), self.geometry)


def by_group(f, groups, arrays, *others):
    """Return f(*arrays, *others), computed for each slice of the arrays' last axes and put side by side."""
    if groups == 1:
        return f(*arrays, *others)
    slices = zip(*[xp.split(array, groups, axis=-1) for array in arrays], strict=True)
    return xp.concatenate([f(*parts, *others) for parts in slices], axis=-1)


class Convolution(Convolving):
    """y[n, i, o] = b[o] + sum over k, c of x[n, stride i + dilation k - padding, c] W[k, c, o].

    x: (N, *sides, in_channels); y: (N, *output sides, out_channels), where an output side is
    floor((side + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 (Dumoulin & Visin 2016, relation 15).
    W: (*kernel, in_channels / groups, out_channels); b: (out_channels,). A number holds for every axis, a tuple has
    one for each. With groups, the channels are cut into equal parts, each with a convolution of its own. padding_mode
    is "zero", or "reflect": d c b [a b c d] c b a. Raises ValueError where sizes do not fit.
    """

    def __init__(
        self, in_channels, out_channels, kernel, *, stride=1, padding=0, dilation=1, groups=1, padding_mode="zero",
        bias=True, rng, initialize=he,
    ):  # fmt: skip
        self.set_sizes(in_channels, out_channels, kernel, stride, padding, dilation, groups)
        if padding_mode not in ("zero", "reflect"):
            raise ValueError(f"{self!r}: padding_mode is {padding_mode!r}, wanted 'zero' or 'reflect'")
        self.padding_mode = padding_mode
        zeros = self.padding
        if padding_mode == "reflect":  # the border is made beforehand
            self.border, zeros = Pad(tuple((p, p) for p in self.padding), mode="reflect"), (0,) * self.axes
        self.geometry = Geometry(self.kernel, self.stride, zeros, self.dilation)
        W = initialize((*self.kernel, in_channels // groups, out_channels), rng)
        super().__init__(W, xp.zeros(out_channels, dtype=W.dtype) if bias else None)

    def output_shape(self, shape):
        self.check_axes(shape)
        if self.padding_mode == "reflect" and any(p >= n for p, n in zip(self.padding, shape[1:-1], strict=True)):
            raise ValueError(f"{self!r}: x has shape {shape}, too small to be reflected by {self.padding}")
        sides = self.geometry._replace(padding=self.padding).output_sides(shape[1:-1])
        if min(sides) < 1:
            raise ValueError(f"{self!r}: x has shape {shape}, too small for the kernel: y would have sides {sides}")
        return (shape[0], *sides, self.out_channels)

    def multiply_adds(self, shape):
        """Return how many products of two numbers a forward of an x of this shape takes."""
        return math.prod(self.output_shape(shape)[:-1]) * self.W.value.size

    def apply(self, W, x):
        return self.correlate(W, x if self.padding_mode == "zero" else self.border.apply(x))

    def input_grad(self, W, dy, shape):
        if self.padding_mode == "zero":
            return self.correlate_adjoint(W, dy, shape)
        return self.border.adjoint(self.correlate_adjoint(W, dy, self.border.output_shape(shape)), shape)

    def weight_grad(self, x, dy):
        return self.outer(x if self.padding_mode == "zero" else self.border.apply(x), dy)


class ConvTranspose(Convolving):
    """The adjoint of a convolution as a layer of its own: a convolution with a stride shrinks pictures, this enlarges.

    <dy, conv(W, x)> = <convT(W, dy), x>: what is the convolution's dx is y here, and its y is dx here.
    x: (N, *sides, in_channels); y: (N, *output sides, out_channels), where an output side is
    stride (side - 1) + dilation (kernel - 1) + 1 - 2 padding + output_padding (Dumoulin & Visin 2016, relation 14);
    output_padding, less than the stride, says which of the sides that the convolution would map to x's is meant.
    W: (*kernel, out_channels / groups, in_channels): the weight of that convolution. Raises ValueError where sizes
    do not fit.
    """

    def __init__(
        self, in_channels, out_channels, kernel, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1,
        bias=True, rng, initialize=he,
    ):  # fmt: skip
        self.set_sizes(in_channels, out_channels, kernel, stride, padding, dilation, groups)
        self.output_padding = self.per_axis("output_padding", output_padding, 0)
        if any(extra >= s for extra, s in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(f"{self!r}: output_padding {self.output_padding} is not below the stride {self.stride}")
        self.geometry = Geometry(self.kernel, self.stride, self.padding, self.dilation)
        W = initialize((*self.kernel, in_channels // groups, out_channels), rng)
        W = W.reshape(*W.shape[:-1], groups, -1).swapaxes(-1, -3)  # group by group, its outputs and inputs exchanged
        W = xp.ascontiguousarray(W).reshape(*self.kernel, out_channels // groups, in_channels)
        super().__init__(W, xp.zeros(out_channels, dtype=W.dtype) if bias else None)

    def output_shape(self, shape):
        self.check_axes(shape)
        axes = zip(shape[1:-1], *self.geometry, self.output_padding, strict=True)
        sides = [s * (side - 1) + d * (k - 1) + 1 - 2 * p + extra for side, k, s, p, d, extra in axes]
        if min(sides) < 1:
            raise ValueError(f"{self!r}: x has shape {shape}: y would have sides {tuple(sides)}")
        return (shape[0], *sides, self.out_channels)

    def multiply_adds(self, shape):
        """Return how many products of two numbers a forward of an x of this shape takes."""
        return math.prod(shape[:-1]) * self.W.value.size

    def apply(self, W, x):
        return self.correlate_adjoint(W, x, self.output_shape(x.shape))

    def input_grad(self, W, dy, shape):
        return self.correlate(W, dy)

    def weight_grad(self, x, dy):
        return self.outer(dy, x)


class Conv1d(Convolution):
    __doc__ = Convolution.__doc__
    axes = 1


class Conv2d(Convolution):
    __doc__ = Convolution.__doc__
    axes = 2


class Conv3d(Convolution):
    __doc__ = Convolution.__doc__
    axes = 3


class ConvTranspose1d(ConvTranspose):
    __doc__ = ConvTranspose.__doc__
    axes = 1


class ConvTranspose2d(ConvTranspose):
    __doc__ = ConvTranspose.__doc__
    axes = 2


class ConvTranspose3d(ConvTranspose):
    __doc__ = ConvTranspose.__doc__
    axes = 3
