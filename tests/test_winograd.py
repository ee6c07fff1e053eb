"""Winograd's convolutions against the plain ones, and the rule that says when they are used."""

import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from scratchgan import fast, xp
from scratchgan.fast import convolution, threads, winograd
from scratchgan.layers import Conv2d, ConvTranspose2d, conv

MAPS = ("correlate", "input_grad", "weight_grad")


@st.composite
def drawn(draw, dtype=np.float64):
    """Draw (x, W, dy, geometry): kernel 3, stride 1 or kernel 4, stride 2, on pictures with sides odd and even."""
    k, s = draw(st.sampled_from([(3, 1), (4, 2)]))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    sides = [draw(st.integers(max(k - 2 * p, 1), k + 9)) for p in padding]
    geometry = conv.Geometry((k, k), (s, s), padding, (1, 1))
    N, C, O = draw(st.integers(0, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    normal = lambda *shape: (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    if not np.issubdtype(dtype, np.complexfloating):
        normal = lambda *shape: rng.standard_normal(shape).astype(dtype)
    return normal(N, *sides, C), normal(k, k, C, O), normal(N, *geometry.output_sides(sides), O), geometry


def by_winograd(name, x, W, dy, geometry):
    """Return a map, computed by Winograd's method whatever the sizes."""
    (k, _), (s, _), padding, _ = geometry
    borders = [(p, p) for p in padding]
    if name == "correlate":
        return winograd.correlate(x, W, borders, s)
    if name == "weight_grad":
        return winograd.weight_grad(x, dy, k, borders, s)
    if s == 2:
        return winograd.input_grad(W, dy, x.shape, padding, s)
    flipped = np.ascontiguousarray(W[::-1, ::-1].swapaxes(2, 3))
    return winograd.correlate(dy, flipped, [(k - 1 - p, k - 1 - p) for p in padding], s)


def tiles_of(case):
    """Return each F that a convolution can have."""
    kernel, stride, _, _ = case[-1]
    return [F for F in winograd.PLACES if F[1] == kernel[0] // stride[0]]


def plain(name, x, W, dy, geometry):
    arguments = {"correlate": (x, W), "input_grad": (W, dy, x.shape), "weight_grad": (x, dy)}[name]
    with fast.plain():
        return getattr(conv, name)(*arguments, geometry)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@draws(120)
@given(data=st.data())
def test_the_maps_are_the_plain_ones(dtype, data):
    """With tiles of each size, in small blocks and large ones, on one thread and on two."""
    case = data.draw(drawn(dtype))
    count = data.draw(st.sampled_from([1, 2]))
    F = data.draw(st.sampled_from(tiles_of(case)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "best", lambda taps, cells, outputs: F)
        patch.setattr(winograd, "NUMBERS", data.draw(st.sampled_from([1, 500_000, winograd.NUMBERS])))
        threads.use(count, blas=False)
        try:
            for name in MAPS:
                fast, exact = by_winograd(name, *case), plain(name, *case)
                assert fast.shape == exact.shape and fast.dtype == exact.dtype
                np.testing.assert_allclose(fast, exact, atol=1e-12)
        finally:
            threads.use()


def growth(F):
    """Return how much larger than its sums' terms an output's rounding can be: absolute values, both axes."""
    B_T, G, A_T = [np.abs(matrix) for matrix in winograd.matrices(F)]
    return (A_T @ (G.sum(1) * B_T.sum(1))).max() ** 2


@pytest.mark.parametrize("which", [0, 1, -1])
@draws(60)
@given(case=drawn(dtype=np.float32))
def test_float32_rounds_as_its_reduction_length_allows(which, case):
    """The law of `test_conv.py`, with the transforms' growth."""
    x, W, dy, geometry = case
    F = tiles_of(case)[which]
    wide = [array.astype(np.float64) for array in (x, W, dy)]
    factors = {"correlate": (x, W), "input_grad": (dy, W), "weight_grad": (x, dy)}
    lengths = {"correlate": W[..., 0].size, "input_grad": W[..., 0, :].size, "weight_grad": max(dy[..., 0].size, 1)}
    for name in MAPS:
        a, b = factors[name]
        largest = np.abs(a).max(initial=0) * np.abs(b).max(initial=0)
        bound = growth(F) / F[1] ** 2 * lengths[name] * np.finfo(np.float32).eps * largest
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(winograd, "best", lambda taps, cells, outputs: F)
            difference = by_winograd(name, x, W, dy, geometry) - plain(name, *wide, geometry)
        assert np.abs(difference).max(initial=0) <= bound


@pytest.mark.parametrize("F", winograd.PLACES)
def test_the_matrices_filter(F):
    """y[i] = sum over k of g[k] d[i + k], for the m outputs of a tile."""
    rng, (m, r), (B_T, G, A_T) = np.random.default_rng(0), F, winograd.matrices(F)
    d, g = rng.standard_normal(m + r - 1), rng.standard_normal(r)
    np.testing.assert_allclose(A_T @ ((G @ g) * (B_T @ d)), np.correlate(d, g), atol=1e-13)


def test_the_places_round_less_than_the_usual_ones(monkeypatch):
    """F(4, 3) with places near 1, whose powers and differences are not far from it: docs/performance.md."""
    rng, errors = np.random.default_rng(0), []
    x, W = rng.standard_normal((4, 16, 16, 64)), rng.standard_normal((3, 3, 64, 64))
    monkeypatch.setattr(winograd, "best", lambda taps, cells, outputs: (4, 3))
    exact = winograd.correlate(x, W, [(1, 1), (1, 1)], 1)
    for places in (winograd.PLACES[4, 3], [0, 1, -1, 2, -2]):
        monkeypatch.setitem(winograd.PLACES, (4, 3), places)
        winograd.matrix_of.cache_clear()
        y = winograd.correlate(x.astype(np.float32), W.astype(np.float32), [(1, 1), (1, 1)], 1)
        errors.append(np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact**2)))
    winograd.matrix_of.cache_clear()
    print("rounding: {:.1e} in place of {:.1e}".format(*errors))
    assert errors[0] < 0.6 * errors[1] < 2e-6


@draws(30)
@given(drawn())
def test_arrays_that_are_not_contiguous(case):
    x, W, dy, geometry = case
    turned = [np.asfortranarray(array) for array in (x, W, dy)]
    frozen = [array[::-1][::-1] for array in turned]
    for array in frozen:
        array.flags.writeable = False
    for name in MAPS:
        np.testing.assert_array_equal(by_winograd(name, *frozen, geometry), by_winograd(name, x, W, dy, geometry))
    for array, before in zip(turned, (x, W, dy), strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("Layer, sizes, side", [
    (Conv2d, {"kernel": 3, "padding": 1}, 16),
    (Conv2d, {"kernel": 4, "stride": 2, "padding": 1}, 32),
    (ConvTranspose2d, {"kernel": 4, "stride": 2, "padding": 1}, 16),
])  # fmt: skip
def test_layers_use_it_and_give_the_same(Layer, sizes, side, monkeypatch):
    """A layer with many channels, with and without."""
    rng = np.random.default_rng(0)
    layer = Layer(64, 64, **sizes, rng=rng)
    x = rng.standard_normal((4, side, side, 64), dtype=np.float32)
    calls, results = [], []
    transform_kernel = winograd.transform_kernel

    def counted(*arguments):
        calls.append(arguments)
        return transform_kernel(*arguments)

    monkeypatch.setattr(winograd, "transform_kernel", counted)
    for channels in (32, 65):
        monkeypatch.setattr(winograd, "CHANNELS", channels)
        layer.zero_grad()
        y, tape = layer.forward(x)
        results.append((y, layer.backward(tape, y), layer.W.grad.copy()))
        assert len(calls) == 2  # in y and dx of the first
    for ours, others in zip(*results, strict=True):
        np.testing.assert_allclose(ours, others, atol=1e-5 * np.abs(others).max())


def test_when_it_pays():
    pays = lambda kernel=3, stride=1, dilation=1, C=64, outputs=(64, 32, 32, 64): winograd.pays(
        (kernel,) * 2, (stride,) * 2, (dilation,) * 2, C, outputs
    )
    assert pays() and pays(kernel=4, stride=2)
    assert not pays(kernel=5) and not pays(stride=2) and not pays(kernel=4) and not pays(dilation=2)
    assert pays(C=32) and not pays(C=31) and not pays(outputs=(64, 32, 32, 3))
    assert not pays(outputs=(1, 4, 4, 64)) and not pays(outputs=(0, 8, 8, 64))  # too few tiles
    assert pays(outputs=(64, 7, 7, 64)) and not pays(outputs=(64, 1, 1, 64))  # a tile for one output
    assert not pays(outputs=(1, 7, 7, 64))  # the kernel's transform takes too long for them


def test_tiles_fit_the_pictures():
    best = lambda taps, side, n=64: winograd.best(taps, 256, (n, side, side, 128))[0]
    assert [best(2, side) for side in (2, 4, 7, 8, 14, 16)] == [2, 4, 7, 4, 7, 4]
    assert best(3, 32) == 4 and best(3, 2) == 2 and best(2, 7, n=8) == 4
    assert not winograd.pays((4, 4), (1, 2), (1, 1), 64, (64, 32, 32, 64))
    assert not winograd.pays((3,), (1,), (1,), 64, (64, 512, 64))


def test_a_gpu_does_without(monkeypatch):
    monkeypatch.setattr(xp, "on_gpu", lambda: True)
    assert not winograd.pays((3, 3), (1, 1), (1, 1), 64, (64, 32, 32, 64))
    assert convolution.blocks(2, 4, 8) == [slice(0, 2)]
