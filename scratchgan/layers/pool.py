"""Pooling over space, GlobalAvgPool, GlobalMaxPool, AvgPool, MaxPool, of any number of axes; Maxout, over channels.

A window of K elements every `stride` makes 1 + (L + 2 padding - K) // stride elements of a side of L, as for a
convolution: what does not fill a window at the end is left out. docs/resampling.md derives them.
"""

import itertools
import math

from scratchgan import xp
from scratchgan.layers.base import Layer, check
from scratchgan.layers.resample import Fixed, Separable, each, sides, taps, whole


class GlobalAvgPool(Fixed):
    """The mean over space: y[n, c] = mean of x[n, ..., c], (N, ..., C) -> (N, C) (Lin et al. 2014, section 3.2)."""

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
        return x.reshape(len(x), -1, x.shape[-1])

    def forward(self, x, train=True):
        self.output_shape(check(self, "x", x).shape)
        choice = self.rows(x).real.argmax(1)[:, None]  # (N, 1, C), the first of equals
        return xp.take_along_axis(self.rows(x), choice, 1)[:, 0], (x.shape, choice)

    def backward(self, tape, dy, grads=True):
        shape, choice = tape
        check(self, "dy", dy, self.output_shape(shape))
        places = xp.arange(math.prod(shape[1:-1]))[:, None]  # (elements of space, 1)
        return ((places == choice) * dy[:, None]).reshape(shape)

    def double_backward(self, tape, dy, ddx, grads=True):
        # As for MaxPool, dx does not change with x as long as the same elements are the largest.
        shape, choice = tape
        return xp.take_along_axis(self.rows(check(self, "ddx", ddx, shape)), choice, 1)[:, 0], None


class Maxout(Layer):
    """The largest of `pieces` candidates for each feature, (N, ..., pieces F) -> (N, ..., F) (Goodfellow et al. 2013).

        y[f] = max over p of x[p F + f]            (section 3, after a Dense layer to pieces F features)

    A max pool over channels: with straight lines as candidates, y is a convex function of what the Dense layer sees.
    Where several candidates are the largest, the first receives the whole gradient.
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
            raise ValueError(f"{self!r}: x has shape {shape}, wanted (N, ..., C) with C a multiple of {self.pieces}")
        return shape[:-1] + (shape[-1] // self.pieces,)

    def forward(self, x, train=True):
        out = self.output_shape(check(self, "x", x).shape)
        candidates = x.reshape(-1, self.pieces, out[-1])  # (N * ..., pieces, F)
        y = candidates.max(1)
        chosen = candidates == y[:, None]
        for piece in range(1, self.pieces):  # of equals, the first
            chosen[:, piece] &= ~chosen[:, :piece].any(1)
        return y.reshape(out), (x.shape, chosen)

    def backward(self, tape, dy, grads=True):
        shape, chosen = tape
        check(self, "dy", dy, self.output_shape(shape))
        return (chosen * dy.reshape(-1, 1, dy.shape[-1])).reshape(shape)

    def double_backward(self, tape, dy, ddx, grads=True):
        # dx does not change with x as long as the same candidates are the largest.
        shape, chosen = tape
        candidates = check(self, "ddx", ddx, shape).reshape(chosen.shape)
        return (chosen * candidates).sum(1).reshape(dy.shape), None


class AvgPool(Separable):
    """The mean of each window, in which padding counts as zeros: every sum is divided by the full size of the window.

    kernel, stride (that of the kernel unless given) and padding: a number, or a tuple of one per spatial axis.
    Padding that counts is PyTorch's default, `count_include_pad=True`.
    Raises ValueError where a window is larger than the padded side, or padding is not smaller than the kernel.
    """

    def __init__(self, kernel, stride=None, padding=0):
        self.kernel, self.stride, self.padding = window("AvgPool", kernel, stride, padding)

    def __repr__(self):
        return f"AvgPool({self.kernel}, stride={self.stride}, padding={self.padding})"

    def slices(self, lengths):
        return [
            taps([1 / kernel] * kernel, length, out, stride, padding)
            for length, (out, kernel, stride, padding) in zip(lengths, windows(self, lengths), strict=True)
        ]


class MaxPool(Layer):
    """The largest element of each window, channel by channel; padding is never chosen.

    kernel, stride and padding as in AvgPool. Where several elements of a window are the largest, the first of them in
    row-major order receives the whole gradient, as in PyTorch. Raises ValueError where AvgPool does.
    """

    def __init__(self, kernel, stride=None, padding=0):
        self.kernel, self.stride, self.padding = window("MaxPool", kernel, stride, padding)

    def __repr__(self):
        return f"MaxPool({self.kernel}, stride={self.stride}, padding={self.padding})"

    def output_shape(self, shape):
        """Return the shape of y for an x of this shape; raise ValueError if there is none."""
        return (shape[0], *[out for out, _, _, _ in windows(self, sides(self, shape))], shape[-1])

    def forward(self, x, train=True):
        self.output_shape(check(self, "x", x).shape)
        padded = xp.pad(x, self.border(x.shape), constant_values=-math.inf)
        stacked = xp.stack(self.places(padded, x.shape))  # (K, N, ..., C)
        choice = stacked.real.argmax(0)  # the first of equals; a NaN, if there is one, so that it is not hidden
        return xp.take_along_axis(stacked, choice[None], 0)[0], (x.shape, choice)

    def backward(self, tape, dy, grads=True):
        shape, choice = tape
        check(self, "dy", dy, choice.shape)
        padded = xp.pad(xp.zeros(shape, dtype=dy.dtype), self.border(shape))
        for k, place in enumerate(self.places(padded, shape)):
            place += xp.where(choice == k, dy, 0)  # a view: windows that overlap add up in `padded`
        inside = [slice(before, before + length) for length, (before, _) in zip(shape, self.border(shape), strict=True)]
        return xp.ascontiguousarray(padded[tuple(inside)])

    def double_backward(self, tape, dy, ddx, grads=True):
        # dx does not change with x as long as the same elements are the largest: there is no bend.
        shape, choice = tape
        padded = xp.pad(check(self, "ddx", ddx, shape), self.border(shape))
        return xp.take_along_axis(xp.stack(self.places(padded, shape)), choice[None], 0)[0], None

    def border(self, shape):
        """Return (before, after), how far each axis of x is padded."""
        return [(0, 0), *[(padding, padding) for _, _, _, padding in windows(self, shape[1:-1])], (0, 0)]

    def places(self, padded, shape):
        """Return, for each place in a window in row-major order, a view of what stands there in all windows."""
        steps = [
            [slice(k, k + (out - 1) * stride + 1, stride) for k in range(kernel)]
            for out, kernel, stride, _ in windows(self, shape[1:-1])
        ]
        return [padded[(slice(None), *place)] for place in itertools.product(*steps)]  # each (N, ..., C)


# ---- helpers ---------------------------------------------------------------------------------------------


def window(owner, kernel, stride, padding):
    """Return (kernel, stride, padding), the stride filled in; raise ValueError where one is no whole number."""
    stride = kernel if stride is None else stride
    for name, value, least in (("kernel", kernel, 1), ("stride", stride, 1), ("padding", padding, 0)):
        for entry in value if isinstance(value, tuple) else (value,):
            whole(owner, name, entry, least)
    return kernel, stride, padding


def windows(layer, lengths):
    """Return (number of windows, kernel, stride, padding) for each spatial axis of a pooling layer."""
    rank = len(lengths)
    settings = [each(layer, name, getattr(layer, name), rank) for name in ("kernel", "stride", "padding")]
    found = []
    for length, kernel, stride, padding in zip(lengths, *settings, strict=True):
        if padding >= kernel:
            raise ValueError(f"{layer!r}: a window of {kernel} can lie within the padding of {padding}")
        if length + 2 * padding < kernel:
            raise ValueError(f"{layer!r}: a window of {kernel} is larger than a side of {length} with its padding")
        found.append((1 + (length + 2 * padding - kernel) // stride, kernel, stride, padding))
    return found
