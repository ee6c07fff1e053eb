"""Pooling over space, GlobalAvgPool, GlobalMaxPool, AvgPool, MaxPool, of any number of axes.

A window of K elements every `stride` makes 1 + (L + 2 padding - K) // stride elements of a side of
L, as in a convolution: what fills no window at the end is left out. docs/resampling.md derives all.
"""

import math

from scratchgan import xp
from scratchgan.layers.base import FixedMap, Layer, check
from scratchgan.layers.resample import Separable, each, filter_slices, sides, whole
from scratchgan.layers.taps import taps


class GlobalAvgPool(FixedMap):
    """y[n, c] = mean over space of x[n, ..., c], (N, C) (Lin et al. 2014, section 3.2)."""

    def __repr__(self):
        return "GlobalAvgPool()"

    def output_shape(self, shape):
        sides(self, shape)
        return (shape[0], shape[-1])

    def apply(self, x):
        return x.mean(tuple(range(1, x.ndim - 1)))

    def adjoint(self, dy, shape):
        rows = dy.reshape(shape[0], 1, shape[-1]) / math.prod(shape[1:-1])  # (N, 1, C)
        return xp.repeat(rows, math.prod(shape[1:-1]), 1).reshape(shape)


class GlobalMaxPool(Layer):
    """The largest element over space: y[n, c] = max of x[n, ..., c], (N, ..., C) -> (N, C).

    Where several are the largest, the first in row-major order receives the whole gradient.
    """

    def __repr__(self):
        return "GlobalMaxPool()"

    def output_shape(self, shape):
        """Return the shape of y for an x of this shape; raise ValueError if there is none."""
        sides(self, shape)
        return (shape[0], shape[-1])

    def rows(self, x):
        """Return x as (N, elements of space, C)."""
        return x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])

    def forward(self, x, train=True):
        check(self, "x", x)
        self.output_shape(x.shape)  # raises ValueError if there is none
        choice = self.rows(x).real.argmax(1)[:, None]  # (N, 1, C), the first of equals
        return xp.take_along_axis(self.rows(x), choice, 1)[:, 0], (x.shape, choice)  # (N, C)

    def pull(self, tape, dy):
        shape, choice = tape
        check(self, "dy", dy, self.output_shape(shape))
        places = xp.arange(math.prod(shape[1:-1]))[:, None]  # (elements of space, 1)
        return ((places == choice) * dy[:, None]).reshape(shape), None

    def double_backward(self, tape, kept, ddx):
        # As for MaxPool, dx does not change with x as long as the same elements are the largest.
        shape, choice = tape
        check(self, "ddx", ddx, shape)
        return xp.take_along_axis(self.rows(ddx), choice, 1)[:, 0], None


class AvgPool(Separable):
    """The mean of each window: its sum, divided by its full size, so that padding counts as zeros.

    kernel, stride (the kernel unless given) and padding: a number, or a tuple of one per axis.
    Padding that counts is PyTorch's default, `count_include_pad=True`. Raises ValueError where a
    window is larger than the padded side, or padding is not smaller than the kernel.
    """

    def __init__(self, kernel, stride=None, padding=0):
        self.kernel, self.stride, self.padding = window("AvgPool", kernel, stride, padding)

    def __repr__(self):
        return f"AvgPool({self.kernel}, stride={self.stride}, padding={self.padding})"

    def slices(self, lengths):
        axes = zip(lengths, windows(self, lengths), strict=True)
        return [
            filter_slices([1 / kernel] * kernel, length, out, stride, padding)
            for length, (out, kernel, stride, padding) in axes
        ]


class MaxPool(Layer):
    """The largest element of each window, channel by channel; padding is never chosen.

    kernel, stride, padding and errors are as in AvgPool. Where several elements of a window are the
    largest, the first in row-major order receives the whole gradient.
    """

    def __init__(self, kernel, stride=None, padding=0):
        self.kernel, self.stride, self.padding = window("MaxPool", kernel, stride, padding)

    def __repr__(self):
        return f"MaxPool({self.kernel}, stride={self.stride}, padding={self.padding})"

    def output_shape(self, shape):
        """Return the shape of y for an x of this shape; raise ValueError if there is none."""
        return (shape[0], *[out for out, _, _, _ in windows(self, sides(self, shape))], shape[-1])

    def forward(self, x, train=True):
        check(self, "x", x)
        self.output_shape(x.shape)  # raises ValueError if there is none
        padded = xp.pad(x, self.border(x.shape), constant_values=-math.inf)
        stacked = xp.stack(self.places(padded, x.shape))  # (K, N, ..., C)
        choice = stacked.real.argmax(0)  # the first of equals; a NaN if there is one, to show it
        return xp.take_along_axis(stacked, choice[None], 0)[0], (x.shape, choice)

    def pull(self, tape, dy):
        shape, choice = tape
        check(self, "dy", dy, choice.shape)
        padded = xp.pad(xp.zeros(shape, dtype=dy.dtype), self.border(shape))
        for k, place in enumerate(self.places(padded, shape)):
            place += xp.where(choice == k, dy, 0)  # a view: windows that overlap add up in `padded`
        borders = zip(shape, self.border(shape), strict=True)
        inside = tuple(slice(before, before + length) for length, (before, _) in borders)
        return xp.ascontiguousarray(padded[inside]), None

    def double_backward(self, tape, kept, ddx):
        # dx does not change with x as long as the same elements are the largest: there is no bend.
        shape, choice = tape
        check(self, "ddx", ddx, shape)
        padded = xp.pad(ddx, self.border(shape))
        return xp.take_along_axis(xp.stack(self.places(padded, shape)), choice[None], 0)[0], None

    def border(self, shape):
        """Return (before, after), how far each axis of x is padded."""
        return [(0, 0), *[(p, p) for _, _, _, p in windows(self, shape[1:-1])], (0, 0)]

    def places(self, padded, shape):
        """Return, for each place in a window, in row-major order, a view of it in all windows."""
        outs, kernel, stride, _ = zip(*windows(self, shape[1:-1]), strict=True)
        zeros, ones = (0,) * len(outs), (1,) * len(outs)
        window = taps(kernel, stride, ones, zeros, padded.shape[1:-1], outs)
        return [padded[source] for _, _, source in window]  # each (N, ..., C)


# ---- helpers -------------------------------------------------------------------------------------


def window(owner, kernel, stride, padding):
    """Return (kernel, stride, padding), with a stride; raise ValueError for no whole numbers."""
    stride = kernel if stride is None else stride
    for name, value, least in ("kernel", kernel, 1), ("stride", stride, 1), ("padding", padding, 0):
        for entry in value if isinstance(value, tuple) else (value,):
            whole(owner, name, entry, least)
    return kernel, stride, padding


def windows(layer, lengths):
    """Return (number of windows, kernel, stride, padding) for each axis of a pooling layer."""
    rank = len(lengths)
    names = ("kernel", "stride", "padding")
    settings = [each(layer, name, getattr(layer, name), rank) for name in names]
    table = []
    for length, kernel, stride, padding in zip(lengths, *settings, strict=True):
        if padding >= kernel:
            within = f"can lie within the padding of {padding}"
            raise ValueError(f"{layer!r}: a window of {kernel} {within}")
        if length + 2 * padding < kernel:
            larger = f"is larger than a side of {length} with its padding"
            raise ValueError(f"{layer!r}: a window of {kernel} {larger}")
        table.append((1 + (length + 2 * padding - kernel) // stride, kernel, stride, padding))
    return table
