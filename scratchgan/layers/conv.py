"""Convolutions in one, two and three dimensions, and transposed: a bilinear map, and its adjoints.

The first part is the mathematics: three functions of one loop each. The layers below it call them.
"""

import math
from typing import NamedTuple

from scratchgan import xp
from scratchgan.initializers import he
from scratchgan.layers.base import LinearMap
from scratchgan.layers.resample import Pad
from scratchgan.layers.taps import taps


class Geometry(NamedTuple):
    """All of a convolution but its numbers: for each spatial axis one entry of each."""

    kernel: tuple
    stride: tuple
    padding: tuple  # zeros on both sides
    dilation: tuple

    def output_sides(self, sides):
        """floor((side + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, for each axis."""
        axes = zip(sides, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in axes)

    def taps(self, x_sides, y_sides):
        """Yield (k, i, pixels) for each tap W[k], which meets x[pixels] where it makes y[i]."""
        return taps(self.kernel, self.stride, self.dilation, self.padding, x_sides, y_sides)


# ---- the mathematics -----------------------------------------------------------------------------
#
# y[n, i, o] = sum over k, c of x[n, stride i + dilation k - padding, c] W[k, c, o], along each axis
#
# For a single k this is a dense layer, y_k = x_k W[k]: x_k holds the pixels of x that W[k] meets,
# y_k the positions where it meets them. Its adjoints are those of a dense layer, dx_k = dy_k W[k]^T
# and dW[k] = x_k^T dy_k. So: loop over k.


def correlate(x, W, geometry):
    """Return y (N, *output sides, O) for x (N, *sides, C) and W (*kernel, C, O)."""
    sides = geometry.output_sides(x.shape[1:-1])
    y = xp.zeros((len(x), *sides, W.shape[-1]), dtype=x.dtype)
    for k, i, pixels in geometry.taps(x.shape[1:-1], sides):
        y[i] += x[pixels] @ W[k]  # (N, *positions, O)
    return y


def input_grad(W, dy, shape, geometry):
    """Return dx of the given shape: the adjoint of x -> correlate(x, W), applied to dy."""
    dx = xp.zeros(shape, dtype=dy.dtype)
    for k, i, pixels in geometry.taps(shape[1:-1], dy.shape[1:-1]):
        dx[pixels] += dy[i] @ W[k].T  # (N, *positions, C)
    return dx


def weight_grad(x, dy, geometry):
    """Return dW (*kernel, C, O): the adjoint of W -> correlate(x, W), applied to dy."""
    dW = xp.zeros((*geometry.kernel, x.shape[-1], dy.shape[-1]), dtype=dy.dtype)
    for k, i, pixels in geometry.taps(x.shape[1:-1], dy.shape[1:-1]):
        dW[k] = x[pixels].reshape(-1, x.shape[-1]).T @ dy[i].reshape(-1, dy.shape[-1])
    return dW


# ---- the layers ----------------------------------------------------------------------------------


class Convolving(LinearMap):
    """What Convolution and ConvTranspose share: their sizes, and what these must fulfil."""

    axes = None  # how many spatial axes: set by Conv1d, Conv2d, ...

    def set_sizes(self, in_channels, out_channels, kernel, stride, padding, dilation, groups):
        """Keep the sizes, those of space as tuples; raise ValueError where they cannot be."""
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel = self.per_axis("kernel", kernel, 1)
        self.stride = self.per_axis("stride", stride, 1)
        self.padding = self.per_axis("padding", padding, 0)
        self.dilation = self.per_axis("dilation", dilation, 1)
        channels = (in_channels, out_channels)
        if min(*channels, groups) < 1 or math.gcd(*channels) % groups:
            both = f"{in_channels} and {out_channels} channels"
            raise ValueError(f"{self!r}: {groups} groups do not divide {both}")

    def __repr__(self):
        kernel = getattr(self, "kernel", "?")
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {kernel})"

    def per_axis(self, name, value, least):
        """Return a number, or a tuple of one for each axis, as a tuple; else raise ValueError."""
        values = tuple(value) if isinstance(value, tuple | list) else (value,) * self.axes
        if len(values) != self.axes or not all(isinstance(v, int) and v >= least for v in values):
            wanted = f"a whole number from {least}, or {self.axes} of them"
            raise ValueError(f"{self!r}: {name} is {value}, wanted {wanted}")
        return values

    def of_a_group(self, shape):
        """Return the shape of one group's part of an array (N, *sides, channels)."""
        return (*shape[:-1], shape[-1] // self.groups)

    def check_axes(self, shape):
        """Raise ValueError if this cannot be the shape of x."""
        if len(shape) != self.axes + 2 or shape[-1] != self.in_channels:
            sides = ("L", "H, W_", "T, H, W_")[self.axes - 1]
            wanted = f"(N, {sides}, {self.in_channels})"
            raise ValueError(f"{self!r}: x has shape {shape}, wanted {wanted}")


def by_group(f, groups, arrays, *others):
    """Return f(*arrays, *others), computed for each group of channels and put side by side.

    A group is a slice of the last axis of x, of y and of W: a convolution of its own.
    """
    if groups == 1:
        return f(*arrays, *others)
    slices = zip(*[xp.split(array, groups, axis=-1) for array in arrays], strict=True)
    return xp.concatenate([f(*parts, *others) for parts in slices], axis=-1)


class Convolution(Convolving):
    """y[n, i, o] = b[o] + sum over k, c of x[n, stride i + dilation k - padding, c] W[k, c, o].

    x: (N, *sides, in_channels); y: (N, *output sides, out_channels), where an output side is
    floor((side + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 (Dumoulin & Visin 2016,
    relation 15). W: (*kernel, in_channels / groups, out_channels); b: (out_channels,). A number
    holds for every axis, a tuple has one for each. With groups, equal parts of the channels have a
    convolution each. padding_mode is "zero", or "reflect": d c b [a b c d] c b a.
    Raises ValueError where sizes do not fit.
    """

    def __init__(
        self, in_channels, out_channels, kernel, *, stride=1, padding=0, dilation=1, groups=1,
        padding_mode="zero", bias=True, rng, initialize=he,
    ):  # fmt: skip
        self.set_sizes(in_channels, out_channels, kernel, stride, padding, dilation, groups)
        if padding_mode not in ("zero", "reflect"):
            raise ValueError(f"{self!r}: padding_mode is {padding_mode!r}, not 'zero' or 'reflect'")
        self.padding_mode = padding_mode
        self.border, zeros = None, self.padding
        if padding_mode == "reflect":  # the border is made beforehand
            zeros = (0,) * self.axes
            self.border = Pad(tuple((p, p) for p in self.padding), mode="reflect")
        self.geometry = Geometry(self.kernel, self.stride, zeros, self.dilation)
        W = initialize((*self.kernel, in_channels // groups, out_channels), rng)
        super().__init__(W, xp.zeros(out_channels, dtype=W.dtype) if bias else None)

    def output_shape(self, shape):
        self.check_axes(shape)
        reach = zip(self.padding, shape[1:-1], strict=True)
        if self.border is not None and any(p >= n for p, n in reach):
            raise ValueError(f"{self!r}: x {shape} is too small to be reflected by {self.padding}")
        sides = self.geometry._replace(padding=self.padding).output_sides(shape[1:-1])
        if min(sides) < 1:
            small = f"too small for the kernel: y would have sides {sides}"
            raise ValueError(f"{self!r}: x has shape {shape}, {small}")
        return (shape[0], *sides, self.out_channels)

    def multiply_adds(self, shape):
        """Return how many products of two numbers a forward of an x of this shape takes."""
        return math.prod(self.output_shape(shape)[:-1]) * self.W.value.size

    # <dy, correlate(x, W)> = <input_grad(W, dy), x> = <weight_grad(x, dy), W>

    def apply(self, W, x):
        x = x if self.border is None else self.border.apply(x)
        return by_group(correlate, self.groups, (x, W), self.geometry)

    def input_grad(self, W, dy, shape):
        if self.border is None:
            return by_group(input_grad, self.groups, (W, dy), self.of_a_group(shape), self.geometry)
        inside = self.of_a_group(self.border.output_shape(shape))
        dx = by_group(input_grad, self.groups, (W, dy), inside, self.geometry)
        return self.border.adjoint(dx, shape)

    def weight_grad(self, x, dy):
        x = x if self.border is None else self.border.apply(x)
        return by_group(weight_grad, self.groups, (x, dy), self.geometry)


class ConvTranspose(Convolving):
    """The adjoint of a convolution as a layer: a convolution's stride shrinks, this one enlarges.

    <dy, conv(W, x)> = <convT(W, dy), x>: what is the convolution's dx is y here, its y is dx here.
    x: (N, *sides, in_channels); y: (N, *output sides, out_channels), where an output side is
    stride (side - 1) + dilation (kernel - 1) + 1 - 2 padding + output_padding (Dumoulin & Visin
    2016, relation 14). The convolution maps `stride` different sides to one and the same:
    output_padding, less than the stride, says which of them is meant. W, the weight of that
    convolution: (*kernel, out_channels / groups, in_channels).
    Raises ValueError where sizes do not fit.
    """

    def __init__(
        self, in_channels, out_channels, kernel, *, stride=1, padding=0, output_padding=0,
        dilation=1, groups=1, bias=True, rng, initialize=he,
    ):  # fmt: skip
        self.set_sizes(in_channels, out_channels, kernel, stride, padding, dilation, groups)
        self.output_padding = self.per_axis("output_padding", output_padding, 0)
        if any(extra >= s for extra, s in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(f"{self!r}: output_padding {output_padding} is not below the stride")
        self.geometry = Geometry(self.kernel, self.stride, self.padding, self.dilation)
        W = initialize((*self.kernel, in_channels // groups, out_channels), rng)
        # Group by group, its outputs and inputs are exchanged.
        W = W.reshape(*W.shape[:-1], groups, -1).swapaxes(-1, -3)  # (*kernel, out / G, G, in / G)
        W = xp.ascontiguousarray(W).reshape(*self.kernel, out_channels // groups, in_channels)
        super().__init__(W, xp.zeros(out_channels, dtype=W.dtype) if bias else None)

    def output_shape(self, shape):
        self.check_axes(shape)
        axes = zip(shape[1:-1], *self.geometry, self.output_padding, strict=True)
        sides = [s * (n - 1) + d * (k - 1) + 1 - 2 * p + extra for n, k, s, p, d, extra in axes]
        if min(sides) < 1:
            raise ValueError(f"{self!r}: x has shape {shape}: y would have sides {tuple(sides)}")
        return (shape[0], *sides, self.out_channels)

    def multiply_adds(self, shape):
        """Return how many products of two numbers a forward of an x of this shape takes."""
        return math.prod(shape[:-1]) * self.W.value.size

    # What a convolution does to x is done to dy here, and the other way round.

    def apply(self, W, x):
        shape = self.of_a_group(self.output_shape(x.shape))
        return by_group(input_grad, self.groups, (W, x), shape, self.geometry)

    def input_grad(self, W, dy, shape):
        return by_group(correlate, self.groups, (dy, W), self.geometry)

    def weight_grad(self, x, dy):
        return by_group(weight_grad, self.groups, (dy, x), self.geometry)


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
