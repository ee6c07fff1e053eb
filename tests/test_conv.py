"""Convolutions against loops written out, the fast maps against the plain ones, and what cannot be refused by name."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan import fast
from scratchgan.fast import convolution, threads
from scratchgan.layers import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, conv

CONVOLUTIONS = (Conv1d, Conv2d, Conv3d)
TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)


@st.composite
def drawn(draw, dtype=np.float64):
    """Draw (x, W, dy, geometry) of a convolution in 1 to 3 dimensions."""
    axes = draw(st.integers(1, 3))
    per_axis = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * axes))
    geometry = conv.Geometry(per_axis(1, 4), per_axis(1, 3), per_axis(0, 4), per_axis(1, 3))
    sides = []
    for k, p, d in zip(geometry.kernel, geometry.padding, geometry.dilation, strict=True):
        least = max(d * (k - 1) + 1 - 2 * p, 1)
        sides.append(draw(st.integers(least, least + 4)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    # 40 channels of y, more than the kernel has numbers, take another way through the fast input_grad
    N, C, O = draw(st.integers(0, 3)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 3, 40]))
    x = rng.standard_normal((N, *sides, C)).astype(dtype)
    W = rng.standard_normal((*geometry.kernel, C, O)).astype(dtype)
    return x, W, rng.standard_normal((N, *geometry.output_sides(sides), O)).astype(dtype), geometry


def longhand(x, W, geometry):
    """y[n, i, o] = sum over k and c of x[n, s i + d k - p, c] W[k, c, o], one product at a time."""
    sides = geometry.output_sides(x.shape[1:-1])
    y = np.zeros((len(x), *sides, W.shape[-1]))
    for i in itertools.product(*map(range, sides)):
        for k in itertools.product(*map(range, geometry.kernel)):
            axes = zip(i, k, geometry.stride, geometry.padding, geometry.dilation, strict=True)
            j = tuple(s * a + d * b - p for a, b, s, p, d in axes)
            if all(0 <= a < n for a, n in zip(j, x.shape[1:-1], strict=True)):
                y[(slice(None), *i)] += x[(slice(None), *j)] @ W[k]
    return y


@settings(max_examples=100, deadline=None)
@given(drawn())
def test_the_plain_map_is_the_formula(case):
    x, W, _, geometry = case
    with fast.plain():
        y = conv.correlate(x, W, geometry)
    np.testing.assert_allclose(y, longhand(x, W, geometry), atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(drawn(), st.sampled_from([1, 2]))
def test_the_fast_maps_are_the_plain_ones(case, count):
    x, W, dy, geometry = case
    threads.use(count, blas=False)
    try:
        for name, arguments in (("correlate", (x, W)), ("input_grad", (W, dy, x.shape)), ("weight_grad", (x, dy))):
            twin = getattr(convolution, name)(*arguments, geometry)
            with fast.plain():
                plain = getattr(conv, name)(*arguments, geometry)
            assert plain.shape == twin.shape
            np.testing.assert_allclose(twin, plain, atol=1e-11)
    finally:
        threads.use()


@settings(max_examples=60, deadline=None)
@given(drawn())
def test_the_plain_adjoints(case):
    x, W, dy, geometry = case
    with fast.plain():
        product = np.sum(dy * conv.correlate(x, W, geometry))
        along_x = np.sum(conv.input_grad(W, dy, x.shape, geometry) * x)
        along_W = np.sum(conv.weight_grad(x, dy, geometry) * W)
    np.testing.assert_allclose([along_x, along_W], product, atol=1e-10)


def test_several_blocks_and_threads_change_nothing():
    """A batch that is cut into many blocks, on one thread and on two."""
    rng = np.random.default_rng(0)
    layer = Conv2d(16, 8, 4, stride=2, padding=1, rng=rng)
    x = rng.standard_normal((96, 32, 32, 16), dtype=np.float32)
    assert len(convolution.blocks(96, 256, 16 * 16 * 4)) > 4
    results = []
    for count in (1, 2):
        threads.use(count, blas=False)
        y, tape = layer.forward(x)
        layer.zero_grad()
        results.append((y, layer.backward(tape, y), layer.W.grad.copy()))
    threads.use()
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4 * np.abs(one).max())
    with fast.plain():
        plain = conv.correlate(x[-2:].astype(np.float64), layer.W.value, layer.geometry)
    np.testing.assert_allclose(results[0][0][-2:], plain, atol=1e-4)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_transposed_convolution_is_the_adjoint(axes):
    """<conv(x), y> = <x, convT(y)> for the two layers with one weight."""
    rng = np.random.default_rng(0)
    one = CONVOLUTIONS[axes - 1](2, 4, 3, stride=2, padding=1, groups=2, bias=False, rng=rng).astype(np.float64)
    other = TRANSPOSED[axes - 1](4, 2, 3, stride=2, padding=1, groups=2, bias=False, rng=rng).astype(np.float64)
    other.W.value[...] = one.W.value
    x = rng.standard_normal((2, *[7] * axes, 2))
    y = rng.standard_normal((2, *[4] * axes, 4))
    assert np.sum(one(x) * y) == pytest.approx(np.sum(x * other(y)))


def test_groups_are_convolutions_side_by_side():
    rng = np.random.default_rng(0)
    depthwise = Conv2d(3, 6, 3, groups=3, rng=rng)
    x = rng.standard_normal((2, 5, 6, 3), dtype=np.float32)
    y = depthwise(x)
    for group in range(3):
        alone = Conv2d(1, 2, 3, bias=False, rng=rng)
        alone.W.value[...] = depthwise.W.value[..., 2 * group : 2 * group + 2]
        np.testing.assert_allclose(y[..., 2 * group : 2 * group + 2], alone(x[..., group : group + 1]), atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_transposed_convolution_starts_by_what_a_group_is_linked_to(groups):
    W = ConvTranspose2d(64, 64, 4, groups=groups, rng=np.random.default_rng(0)).W.value
    assert W.std() == pytest.approx((2 / (16 * 64 / groups)) ** 0.5, rel=0.02)


def test_each_group_of_a_transposed_convolution_has_the_weight_that_was_drawn_for_its_channels():
    drawn = np.arange(9 * 2 * 6, dtype=np.float32).reshape(3, 3, 2, 6)  # (kernel, in / groups, out), two groups
    layer = ConvTranspose2d(4, 6, 3, groups=2, rng=None, initialize=lambda shape, rng: drawn.reshape(shape))
    for group in range(2):
        mine = layer.W.value[..., 2 * group : 2 * group + 2]  # (kernel, out / groups, in of the group)
        np.testing.assert_array_equal(mine, drawn[..., 3 * group : 3 * group + 3].swapaxes(-1, -2))


def test_a_dense_layer_is_a_convolution_with_one_position():
    rng = np.random.default_rng(0)
    layer = Conv2d(3, 4, 5, rng=rng)
    x = rng.standard_normal((2, 5, 5, 3), dtype=np.float32)
    np.testing.assert_allclose(layer(x)[:, 0, 0], x.reshape(2, -1) @ layer.W.value.reshape(-1, 4), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(drawn(dtype=np.float32))
def test_float32_rounds_as_its_reduction_length_allows(case):
    x, W, dy, geometry = case
    wide = [array.astype(np.float64) for array in (x, W, dy)]
    for f, narrow, exact, lengths in (
        (convolution.correlate, (x, W), wide[:2], W[..., 0].size),
        (convolution.weight_grad, (x, dy), (wide[0], wide[2]), max(dy[..., 0].size, 1)),
    ):
        largest = np.abs(narrow[0]).max(initial=0) * np.abs(narrow[1]).max(initial=0)
        bound = 4 * lengths * np.finfo(np.float32).eps * largest
        assert np.abs(f(*narrow, geometry) - f(*exact, geometry)).max(initial=0) <= bound


def test_odd_arrays_give_right_results():
    """Not contiguous, read-only, and empty batches."""
    rng = np.random.default_rng(0)
    layer = Conv2d(3, 4, 3, padding=1, rng=rng)
    x = rng.standard_normal((2, 6, 5, 3), dtype=np.float32)
    turned = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    frozen = x.copy()
    frozen.flags.writeable = False
    for odd in (turned, frozen, x[::1]):
        y, tape = layer.forward(odd)
        np.testing.assert_array_equal(y, layer(x))
        assert layer.backward(tape, np.asfortranarray(y)).shape == x.shape
    y, tape = layer.forward(x[:0])
    assert y.shape == (0, 6, 5, 4) and layer.backward(tape, y).shape == (0, 6, 5, 3)


@pytest.mark.parametrize("make, message", [
    (lambda rng: Conv2d(3, 4, 3, groups=2, rng=rng), "2 groups do not divide 3 and 4 channels"),
    (lambda rng: Conv2d(3, 4, (3, 3, 3), rng=rng), r"kernel is \(3, 3, 3\), wanted a whole number from 1"),
    (lambda rng: Conv2d(3, 4, 3, stride=0, rng=rng), "stride is 0"),
    (lambda rng: Conv2d(3, 4, 3, padding=-1, rng=rng), "padding is -1"),
    (lambda rng: Conv2d(3, 4, 3, padding=0.5, rng=rng), "padding is 0.5"),
    (lambda rng: Conv2d(3, 4, 3, padding_mode="same", rng=rng), "padding_mode is 'same'"),
    (lambda rng: ConvTranspose2d(3, 4, 3, output_padding=1, rng=rng), "output_padding .* is not below the stride"),
])  # fmt: skip
def test_layers_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make(np.random.default_rng(0))


@pytest.mark.parametrize("shape, dtype, error, message", [
    ((2, 3, 8, 8), "float32", ValueError, r"Conv2d\(3, 4, \(5, 5\)\): x has shape .* wanted \(N, H, W_, 3\)"),
    ((2, 8, 3), "float32", ValueError, r"wanted \(N, H, W_, 3\)"),
    ((2, 4, 8, 3), "float32", ValueError, r"too small for the kernel: y would have sides \(0, 4\)"),
    ((2, 8, 8, 3), "float16", TypeError, "x is float16, wanted float32"),
    ((2, 8, 8, 3), "int64", TypeError, "x is int64, wanted float32"),
])  # fmt: skip
def test_inputs_that_do_not_fit(shape, dtype, error, message):
    layer = Conv2d(3, 4, 5, rng=np.random.default_rng(0))
    with pytest.raises(error, match=message):
        layer.forward(np.zeros(shape, dtype=dtype))


def test_a_reflection_needs_pixels():
    layer = Conv1d(1, 1, 3, padding=3, padding_mode="reflect", rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"too small to be reflected by \(3,\)"):
        layer.forward(np.zeros((1, 3, 1), dtype=np.float32))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.data())
def test_against_pytorch(axes, data):
    """Forward, both gradients and the second order of both kinds of layer, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; the laws prove the same without it")
    per_axis = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * axes))
    kernel, stride, padding, dilation = per_axis(1, 3), per_axis(1, 3), per_axis(0, 2), per_axis(1, 2)
    groups = data.draw(st.sampled_from([1, 2]))
    sizes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.standard_normal((2, *[data.draw(st.integers(6, 8)) for _ in range(axes)], 2))
    for Layer, f in (
        (CONVOLUTIONS[axes - 1], getattr(torch.nn.functional, f"conv{axes}d")),
        (TRANSPOSED[axes - 1], getattr(torch.nn.functional, f"conv_transpose{axes}d")),
    ):
        layer = Layer(2, 4, kernel, rng=rng, **sizes).astype(np.float64)
        y, tape = layer.forward(x)
        dy, ddx = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
        dx = layer.backward(tape, dy)
        first = layer.W.grad.copy()
        ddy, _ = layer.double_backward(tape, layer.pull(tape, dy)[1], ddx)
        to_torch = lambda a: torch.from_numpy(np.ascontiguousarray(np.moveaxis(a, -1, 1))).requires_grad_()
        W = torch.from_numpy(np.ascontiguousarray(np.moveaxis(layer.W.value, (-1, -2), (0, 1)))).requires_grad_()
        tx, tdy = to_torch(x), to_torch(dy)
        ty = f(tx, W, None, **sizes)
        tdx, tdW = torch.autograd.grad(ty, (tx, W), tdy, create_graph=True)
        tddy, tddW = torch.autograd.grad(tdx, (tdy, W), to_torch(ddx))
        back = lambda a: np.moveaxis(a.detach().numpy(), 1, -1)
        for ours, theirs in ((y, ty), (dx, tdx), (ddy, tddy)):
            np.testing.assert_allclose(ours, back(theirs), atol=1e-10)
        for ours, theirs in ((first, tdW), (layer.W.grad - first, tddW)):
            np.testing.assert_allclose(ours, np.moveaxis(theirs.detach().numpy(), (0, 1), (-1, -2)), atol=1e-10)
