"""Resampling and pooling against loops that say what is meant, and against PyTorch where it is installed."""

import itertools
import math

import numpy as np
import pytest
import rows_resample
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan.layers import (
    AvgPool,
    Blur,
    Crop,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
    Pad,
    PixelShuffle,
    PixelUnshuffle,
    Upsample,
)

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="compares with PyTorch, which is not installed")


@st.composite
def arrays(draw, least=1):
    """Draw x of shape (N, ..., C), in float64, of one to three spatial axes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = rows_resample.sides(draw, least)
    return rng.standard_normal((draw(st.integers(1, 3)), *lengths, draw(st.integers(1, 3))))


def loop(x, lengths, element):
    """Return y of sides `lengths`, with y[n, place, c] = element(x[n, ..., c], place), one at a time."""
    y = np.empty((x.shape[0], *lengths, x.shape[-1]))
    for n, c in itertools.product(range(x.shape[0]), range(x.shape[-1])):
        for place in np.ndindex(*lengths):
            y[(n, *place, c)] = element(x[n, ..., c], place)
    return y


def inside(place, lengths):
    return all(0 <= i < length for i, length in zip(place, lengths, strict=True))


def same(y, wanted):
    np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-12)


# ---- loops -----------------------------------------------------------------------------------------------


@given(arrays(), st.integers(1, 4))
def test_nearest(x, scale):
    def element(plane, place):
        return plane[tuple(i // scale for i in place)]

    same(Upsample(scale)(x), loop(x, [scale * length for length in x.shape[1:-1]], element))


@settings(deadline=None)
@given(arrays(), st.integers(1, 4))
def test_bilinear(x, scale):
    def element(plane, place):
        value = 0.0
        at = [min(max((i + 0.5) / scale - 0.5, 0), length - 1) for i, length in zip(place, plane.shape, strict=True)]
        for corner in itertools.product((0, 1), repeat=plane.ndim):
            whole = [math.floor(a) for a in at]
            near = [min(w + up, length - 1) for w, up, length in zip(whole, corner, plane.shape, strict=True)]
            share = [a - w if up else 1 - (a - w) for a, w, up in zip(at, whole, corner, strict=True)]
            value += math.prod(share) * plane[tuple(near)]
        return value

    same(Upsample(scale, "bilinear")(x), loop(x, [scale * length for length in x.shape[1:-1]], element))


@given(arrays(), st.sampled_from([(1,), (1, 2, 1), (1, 3, 3, 1), (3, -1, 0.5, 2, 7)]), st.integers(1, 3))
def test_blur(x, kernel, stride):
    weights = np.array(kernel) / np.sum(kernel)
    before = (len(kernel) - 1) // 2

    def element(plane, place):
        value = 0.0
        for k in itertools.product(range(len(kernel)), repeat=plane.ndim):
            source = tuple(i * stride + j - before for i, j in zip(place, k, strict=True))
            if inside(source, plane.shape):
                value += np.prod(weights[list(k)]) * plane[source]
        return value

    same(Blur(kernel, stride)(x), loop(x, [math.ceil(length / stride) for length in x.shape[1:-1]], element))


@given(arrays(least=3), st.data())
def test_pad_and_crop(x, data):
    pairs = tuple(data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in x.shape[1:-1])
    width = [(0, 0), *pairs, (0, 0)]
    same(Pad(pairs)(x), np.pad(x, width))
    same(Pad(pairs, "reflect")(x), np.pad(x, width, mode="reflect"))
    same(Pad(1)(x), np.pad(x, [(0, 0)] + [(1, 1)] * len(pairs) + [(0, 0)]))
    same(Crop(pairs)(Pad(pairs)(x)), x)
    same(Crop(1)(x), x[(slice(None), *[slice(1, -1)] * len(pairs))])


@given(arrays(), st.integers(1, 2), st.integers(1, 3))
def test_pixel_shuffle(x, r, C):
    x = np.repeat(x[..., :1], C * r ** (x.ndim - 2), -1) * np.arange(1, 1 + C * r ** (x.ndim - 2))
    y = PixelShuffle(r)(x)
    assert y.shape == (len(x), *[r * length for length in x.shape[1:-1]], C)
    for n, *place, c in np.ndindex(*y.shape):
        channel = c
        for i in place:
            channel = channel * r + i % r
        assert y[(n, *place, c)] == x[(n, *[i // r for i in place], channel)]
    same(PixelUnshuffle(r)(y), x)


@given(arrays())
def test_the_mean_over_space(x):
    same(GlobalAvgPool()(x), x.reshape(len(x), -1, x.shape[-1]).mean(1))
    same(GlobalMaxPool()(x), x.reshape(len(x), -1, x.shape[-1]).max(1))


@settings(deadline=None)
@given(arrays(), st.data())
def test_pools(x, data):
    lengths = x.shape[1:-1]
    kernel, stride, padding = rows_resample.window(data.draw, lengths)
    d = len(lengths)
    ks, ps = [value if isinstance(value, tuple) else (value,) * d for value in (kernel, padding)]
    ss = ks if stride is None else stride if isinstance(stride, tuple) else (stride,) * d
    outs = [1 + (length + 2 * p - k) // s for length, k, s, p in zip(lengths, ks, ss, ps, strict=True)]

    def elements(plane, place):
        for j in itertools.product(*[range(k) for k in ks]):
            source = tuple(i * s + a - p for i, s, a, p in zip(place, ss, j, ps, strict=True))
            if inside(source, plane.shape):
                yield plane[source]

    mean = loop(x, outs, lambda plane, place: sum(elements(plane, place)) / math.prod(ks))
    same(AvgPool(kernel, stride, padding)(x), mean)
    same(MaxPool(kernel, stride, padding)(x), loop(x, outs, lambda plane, place: max(elements(plane, place))))


# ---- what the docstrings promise ---------------------------------------------------------------------------


def test_the_first_of_equals_receives_the_whole_gradient():
    x = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [2.0, 0.0, 2.0]])[None, ..., None]  # (1, 3, 3, 1)
    _, tape = MaxPool(2, stride=1).forward(x)
    dx = MaxPool(2, stride=1).backward(tape, np.array([[1.0, 10.0], [100.0, 1000.0]])[None, ..., None])
    assert np.array_equal(dx[0, ..., 0], [[0, 11, 0], [0, 0, 0], [100, 0, 1000]])


def test_padding_is_no_maximum_and_counts_as_zero_in_a_mean():
    x = np.full((1, 2, 2, 1), -4.0)
    assert (MaxPool(2, padding=1)(x) == -4).all()
    assert (AvgPool(2, padding=1)(x) == -1).all()


def test_a_nan_is_not_hidden_by_a_pool():
    x = np.zeros((1, 4, 1))
    x[0, 2] = np.nan
    assert np.isnan(MaxPool(2)(x)).ravel().tolist() == [False, True]
    assert np.isnan(AvgPool(2)(x)).ravel().tolist() == [False, True]


@given(arrays(), st.integers(1, 4), st.sampled_from(["nearest", "bilinear"]))
def test_upsampling_keeps_what_is_constant(x, scale, mode):
    same(Upsample(scale, mode)(np.full_like(x, 3.0)), 3.0)


def test_a_blur_before_the_stride_removes_what_would_alias():
    x = np.tile([1.0, -1.0], 8)[None, :, None]  # the highest frequency there is
    assert np.abs(Blur((1,), stride=2)(x)).max() == 1  # the stride alone turns it into a constant
    assert np.abs(Blur((1, 2, 1), stride=2)(x)[:, 1:-1]).max() == 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Upsample(1.5), "Upsample: scale is 1.5, wanted a whole number, 1 or above"),
        (lambda: Upsample(0), "Upsample: scale is 0"),
        (lambda: Upsample(2, "cubic"), "Upsample: mode is 'cubic', wanted one of"),
        (lambda: Pad(1, "edge"), "Pad: mode is 'edge'"),
        (lambda: Pad(-1), "Pad: padding is -1, wanted a whole number, 0 or above"),
        (lambda: Pad((1, 1)), r"Pad: padding is \(1, 1\), wanted a number, or"),
        (lambda: Crop("1"), "Crop: padding is '1'"),
        (lambda: Blur((1, -1)), "Blur: kernel is .* whose sum is not 0"),
        (lambda: Blur(()), "Blur: kernel is"),
        (lambda: Blur(stride=0), "Blur: stride is 0"),
        (lambda: PixelShuffle(0), "PixelShuffle: factor is 0"),
        (lambda: PixelUnshuffle(2.0), "PixelUnshuffle: factor is 2.0"),
        (lambda: AvgPool(0), "AvgPool: kernel is 0"),
        (lambda: MaxPool((2, 0)), "MaxPool: kernel is 0"),
        (lambda: MaxPool(2, stride=0), "MaxPool: stride is 0"),
        (lambda: MaxPool(2, padding=-1), "MaxPool: padding is -1"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "layer, shape, message",
    [
        (Upsample(), (2, 3), r"Upsample\(2, 'nearest'\): x has shape \(2, 3\), wanted \(N, L, C\)"),
        (GlobalAvgPool(), (2, 3), r"GlobalAvgPool\(\): x has shape \(2, 3\)"),
        (GlobalMaxPool(), (2, 3), r"GlobalMaxPool\(\): x has shape \(2, 3\)"),
        (Upsample(), (2, 0, 3), r"x has shape \(2, 0, 3\)"),
        (Crop(2), (1, 4, 1), r"Crop\(2\): nothing would be left of a side of 4"),
        (Crop(((1, 1),)), (1, 4, 4, 1), "padding has 1 entries, and x has 2 spatial axes"),
        (Pad(3, "reflect"), (1, 3, 1), r"Pad\(3, 'reflect'\): a side of 3 cannot be reflected so far"),
        (PixelShuffle(2), (1, 2, 2, 6), "wanted a multiple of 4 channels"),
        (PixelUnshuffle(2), (1, 2, 3, 1), "wanted sides that are multiples of 2"),
        (AvgPool(3), (1, 2, 3, 1), r"AvgPool\(3, stride=3, padding=0\): a window of 3 is larger than a side of 2"),
        (MaxPool((1, 2)), (1, 4, 1), "kernel has 2 entries, and x has 1 spatial axes"),
        (MaxPool(2, padding=2), (1, 4, 1), "a window of 2 can lie within the padding of 2"),
    ],
)
def test_impossible_inputs_are_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape))


# ---- PyTorch -----------------------------------------------------------------------------------------------


def agrees(layer, x, function):
    """Compare forward and backward of a layer with those of a PyTorch function of (N, C, ...)."""
    y, tape = layer.forward(x)
    leaf = torch.tensor(np.moveaxis(x, -1, 1), requires_grad=True)
    wanted = function(leaf)
    same(y, np.moveaxis(wanted.detach().numpy(), 1, -1))
    dy = np.random.default_rng(1).standard_normal(y.shape)
    wanted.backward(torch.tensor(np.moveaxis(dy, -1, 1).copy()))
    same(layer.backward(tape, dy), np.moveaxis(leaf.grad.numpy(), 1, -1))


@needs_torch
@settings(deadline=None)
@given(arrays(), st.integers(1, 4))
def test_upsample_is_that_of_pytorch(x, scale):
    F = torch.nn.functional
    linear = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]
    agrees(Upsample(scale), x, lambda t: F.interpolate(t, scale_factor=scale, mode="nearest"))
    agrees(Upsample(scale, "bilinear"), x, lambda t: F.interpolate(t, scale_factor=scale, mode=linear))


@needs_torch
@settings(deadline=None)
@given(arrays(), st.data())
def test_pools_are_those_of_pytorch(x, data):
    F = torch.nn.functional
    d = x.ndim - 2
    average = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[d]
    largest = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[d]
    kernel, stride, _ = rows_resample.window(data.draw, x.shape[1:-1])
    smallest = min(kernel) if isinstance(kernel, tuple) else kernel
    padding = data.draw(st.integers(0, smallest // 2))  # more is refused by PyTorch
    x = np.round(x)  # so that there are ties
    agrees(AvgPool(kernel, stride, padding), x, lambda t: average(t, kernel, stride, padding))
    agrees(MaxPool(kernel, stride, padding), x, lambda t: largest(t, kernel, stride, padding))


@needs_torch
def test_the_rest_is_that_of_pytorch():
    F = torch.nn.functional
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 12))
    agrees(PixelShuffle(2), x, lambda t: F.pixel_shuffle(t, 2))
    agrees(PixelUnshuffle(2), x, lambda t: F.pixel_unshuffle(t, 2))
    agrees(Pad(((1, 2), (3, 0)), "reflect"), x, lambda t: F.pad(t, (3, 0, 1, 2), mode="reflect"))
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    kernel = torch.outer(taps, taps).expand(12, 1, 3, 3)
    agrees(Blur((1, 2, 1), 2), x, lambda t: F.conv2d(t, kernel, stride=2, padding=1, groups=12))
