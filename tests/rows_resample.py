"""Rows of the law table: resampling, pooling and padding, for one, two and three spatial axes."""

import numpy as np
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.layers import (
    AvgPool,
    Blur,
    Crop,
    GlobalAvgPool,
    GlobalMaxPool,
    Layer,
    MaxPool,
    Pad,
    PixelShuffle,
    PixelUnshuffle,
    Sequential,
    Upsample,
)
from scratchgan.layers.base import check

few = st.integers(1, 3)
rank = st.integers(1, 3)


def sides(draw, least=1):
    """Draw the sides of a sequence, an image or a video, in general not square."""
    d = draw(rank)
    return tuple(draw(st.integers(least, least + 6 - d)) for _ in range(d))


def any_sides(make):
    return lambda draw, rng: (make(draw), (draw(few), *sides(draw), draw(few)))


def blur(draw):
    kernel = draw(st.sampled_from([(1,), (1, 1), (1, 2, 1), (1, 3, 3, 1), (3, -1, 0.5), (1, 4, 6, 4, 1)]))
    return Blur(kernel, draw(few))


def upsample(mode):
    return any_sides(lambda draw: Upsample(draw(st.integers(1, 4)), mode))


def pixel_shuffle(draw, rng):
    lengths, factor = sides(draw), draw(st.integers(1, 2))
    return PixelShuffle(factor), (draw(few), *lengths, draw(few) * factor ** len(lengths))


def pixel_unshuffle(draw, rng):
    factor = draw(few)
    return PixelUnshuffle(factor), (draw(few), *[factor * draw(few) for _ in range(draw(rank))], draw(few))


def bordered(make, least):
    """Draw a border of 1 everywhere, or one of 0 to 2 of its own on each side of each axis."""

    def row(draw, rng):
        lengths = sides(draw, least)
        uneven = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in lengths)
        return make(1 if draw(st.booleans()) else uneven), (draw(few), *lengths, draw(few))

    return row


def window(draw, lengths):
    """Draw kernel, stride and padding: any window that fits, strides that divide nothing or leave gaps."""
    if draw(st.booleans()):  # the same for all axes
        kernel = draw(st.integers(1, min(lengths)))
        return kernel, draw(st.none() | st.integers(1, 4)), draw(st.integers(0, kernel - 1))
    kernel = tuple(draw(st.integers(1, length)) for length in lengths)
    stride = tuple(draw(few) for _ in lengths)
    return kernel, stride, tuple(draw(st.integers(0, k - 1)) for k in kernel)


def average(draw, rng):
    lengths = sides(draw)
    return AvgPool(*window(draw, lengths)), (draw(few), *lengths, draw(few))


class Apart(Layer):
    """y = x + c, with a c whose elements lie 20 apart: no step of a difference can then change which is the largest."""

    def __init__(self, shape, rng):
        self.c = xp.to_device(20.0 * rng.permutation(np.prod(shape)).reshape(shape))

    def forward(self, x, train=True):
        check(self, "x", x, self.c.shape)
        return x + self.c, None

    def pull(self, tape, dy):
        check(self, "dy", dy, self.c.shape)
        return dy, None

    def double_backward(self, tape, kept, ddx):
        return ddx, None


def largest(draw, rng):
    lengths = sides(draw)
    x_shape = (draw(few), *lengths, draw(few))
    return Sequential(Apart(x_shape, rng), MaxPool(*window(draw, lengths))), x_shape


def largest_of_all(draw, rng):
    x_shape = (draw(few), *sides(draw), draw(few))
    return Sequential(Apart(x_shape, rng), GlobalMaxPool()), x_shape


SMOOTH = {
    "Crop": bordered(Crop, least=5),
    "Pad": bordered(Pad, least=1),
    "Pad by reflection": bordered(lambda padding: Pad(padding, "reflect"), least=3),
    "Blur": any_sides(blur),
    "Upsample": upsample("nearest"),
    "Upsample, bilinear": upsample("bilinear"),
    "PixelShuffle": pixel_shuffle,
    "PixelUnshuffle": pixel_unshuffle,
    "GlobalAvgPool": any_sides(lambda draw: GlobalAvgPool()),
    "GlobalMaxPool": largest_of_all,
    "AvgPool": average,
    "MaxPool": largest,
}
KINKED = {}
