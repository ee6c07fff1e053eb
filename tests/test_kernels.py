"""Each kernel beside its NumPy twin, and the twin beside what the layers do on a CPU.

The kernels run on a GPU where there is one, and their CUDA text on the CPU where g++ is (see `kernel_cpu.py`).
"""

import copy

import kernel_cpu
import numpy as np
import pytest
import test_strict_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from test_examples import EXAMPLES
from test_strict_examples import two_steps

from scratchgan import fast, xp
from scratchgan.fast import convolution, kernels
from scratchgan.fast.kernels import normalization
from scratchgan.layers import BatchNorm, Dense, LeakyReLU, ReLU, Sigmoid, Softplus, conv
from scratchgan.optim import EMA, Adam
from scratchgan.tools.strict import strict_xp

PRECISION = {"float32": 2e-6, "float64": 1e-13}  # sums of a thousand numbers, in another order


def gpu():
    """Return CuPy, or the reason why it cannot be used."""
    try:
        return xp.load_cupy()
    except xp.DeviceError as error:
        return str(error)


PLACES = ["the CUDA text on a CPU"] + ([] if isinstance(gpu(), str) else ["a GPU"])


def to_arrays(place, arrays):
    """Return copies of host arrays where the kernels of a place run; numbers and the like stay as they are."""
    return [place.array(array) if isinstance(array, np.ndarray) else array for array in arrays]


@pytest.fixture(params=PLACES)
def place(request, monkeypatch):
    """The array module on which kernels run."""
    if request.param == "a GPU":
        with xp.using("gpu"):
            yield gpu()
    else:
        if kernel_cpu.missing():
            pytest.skip(kernel_cpu.missing())
        kernel_cpu.install(monkeypatch)
        with xp.using(strict_xp):
            yield strict_xp


def compare(place, function, arguments, dtype):
    """Assert that a kernel and its twin return the same, and leave the same in their arguments."""
    arguments = [a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype != np.intp else a for a in arguments]
    host, device = to_arrays(np, arguments), to_arrays(place, arguments)
    pairs = [(function(*host), function(*device)), *zip(host, device, strict=True)]
    for expected, found in pairs:
        for one, other in zip(*[x if isinstance(x, tuple) else (x,) for x in (expected, found)], strict=True):
            if isinstance(one, np.ndarray):
                other = xp.to_host(other)
                assert one.dtype == other.dtype and one.shape == other.shape
                scale = np.abs(one).max(initial=1e-30)
                np.testing.assert_allclose(other, one, rtol=0, atol=PRECISION[dtype] * scale)


both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
rng = np.random.default_rng(0)
sizes = pytest.mark.parametrize("n", [1, 255, 256, 257, 5000])
matrices = pytest.mark.parametrize("shape", [(2, 1), (3, 32), (8, 33), (100, 5), (1000, 70), (50, 200)], ids=str)


# ---- a kernel and its twin -------------------------------------------------------------------------------


@both_dtypes
@sizes
def test_adam_and_its_twin(place, n, dtype):
    arrays = *rng.standard_normal((3, n)), rng.random(n)
    compare(place, kernels.adam, (*arrays, 0.5, 0.999, 1e-2, 1e-8, 0.99), dtype)


@both_dtypes
@sizes
def test_ema_and_its_twin(place, n, dtype):
    compare(place, kernels.ema, (*rng.standard_normal((2, n)), 0.001), dtype)


POINTWISE = {"leaky_relu": (0.2,), "slopes": (0.2,), "softplus": (), "sigmoid": ()}


@both_dtypes
@sizes
@pytest.mark.parametrize("name", POINTWISE)
def test_a_function_of_one_number_and_its_twin(place, name, n, dtype):
    x = rng.normal(0, 5, n)
    x[:3] = [0, 80, -80][:n]
    compare(place, getattr(kernels, name), (x, *POINTWISE[name]), dtype)


@both_dtypes
@pytest.mark.parametrize("shape", [(2, 1), (100, 7), (3, 4, 5, 33)], ids=str)
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_a_bias_with_its_activation_and_its_twin(place, shape, slope, dtype):
    x, b = rng.standard_normal(shape), rng.standard_normal(shape[-1])
    compare(place, kernels.bias_leaky_relu, (x, b, slope), dtype)


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_a_bias_with_its_activation_at_no_number(place, slope):
    x, b = np.array([[-np.inf, np.inf, np.nan]], dtype=np.float32), np.zeros(3, dtype=np.float32)
    expected = [[0.0 if slope == 0 else -np.inf, np.inf, np.nan]]
    for array in (x.copy(), place.array(x)):
        with np.errstate(invalid="ignore"):
            kernels.bias_leaky_relu(array, b if isinstance(array, np.ndarray) else place.array(b), slope)
        np.testing.assert_array_equal(xp.to_host(array), expected)


def test_batch_norm_keeps_what_is_no_number(place):
    """A NaN that the running variance did not show would come to light in inference only."""
    x = np.array([[1.0, 1], [np.nan, 2], [3, 3]], dtype=np.float32)
    arrays = [place.array(np.ones(2, dtype=np.float32)) for _ in range(4)]
    y, _, _ = kernels.batch_norm(place.array(x), *arrays, 0.1, 1e-5)
    assert np.isnan(xp.to_host(y)[:, 0]).all() and np.isfinite(xp.to_host(y)[:, 1]).all()
    assert np.isnan(xp.to_host(arrays[3])).tolist() == [True, False]


def statistics(shape):
    """Return gamma, beta, running mean and variance, for x of a shape."""
    return (*rng.standard_normal((3, shape[1])), rng.random(shape[1]))


@both_dtypes
@matrices
def test_batch_norm_and_its_twin(place, shape, dtype):
    compare(place, kernels.batch_norm, (rng.normal(3, 2, shape), *statistics(shape), 0.1, 1e-5), dtype)


@both_dtypes
@matrices
@pytest.mark.parametrize("grads", [True, False])
def test_batch_norm_backward_and_its_twin(place, shape, dtype, grads):
    dy, xhat = rng.standard_normal((2, *shape))
    compare(place, kernels.batch_norm_backward, (dy, xhat, *statistics(shape), grads), dtype)


@matrices
@pytest.mark.parametrize("shifted", [True, False])
def test_sums_and_their_twins(place, shape, shifted):
    u, v = rng.standard_normal((2, *shape))
    parts = to_arrays(place, [u, u if shifted else v])
    found = xp.to_host(normalization.fold_sums(normalization.part_sums(*parts, shifted)))
    a, b = (u - u[0], u - u[0]) if shifted else (u, v)
    expected = np.stack([a.sum(0), (a * b).sum(0)])
    scale = np.stack([np.abs(a).sum(0), np.abs(a * b).sum(0)]).max()  # of the numbers that are added
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * scale)
    twin = normalization.fold_sums(normalization.part_sums(u, u if shifted else v, shifted))
    np.testing.assert_allclose(twin, expected, rtol=0, atol=1e-14 * scale)


def test_the_variance_of_large_numbers_that_differ_little(place):
    """Where <x^2> - <x>^2 has no digit left in float32."""
    x = (1e4 + rng.standard_normal((500, 3))).astype("float32")
    ones, zeros = np.ones(3, "float32"), np.zeros(3, "float32")
    y, _, r = kernels.batch_norm(*to_arrays(place, [x, ones, zeros, ones, ones]), 0.1, 1e-5)
    np.testing.assert_allclose(xp.to_host(r), 1 / np.sqrt(x.astype(float).var(0) + 1e-5), rtol=1e-5)
    np.testing.assert_allclose(xp.to_host(y).std(0), 1, rtol=1e-3)


GEOMETRIES = [  # shape of x, kernel, stride, zeros before, zeros after, dilation
    ((2, 5, 7, 3), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)),
    ((2, 8, 8, 40), (4, 4), (2, 2), (1, 1), (1, 1), (1, 1)),
    ((3, 9, 6, 1), (3, 2), (2, 3), (2, 0), (1, 1), (1, 2)),
    ((1, 7, 7, 33), (2, 3), (3, 1), (0, 4), (0, 0), (3, 2)),
    ((2, 4, 4, 2), (1, 1), (1, 1), (0, 0), (0, 0), (1, 1)),
]


def out_sides(shape, kernel, stride, before, after, dilation):
    axes = zip(shape[1:3], kernel, stride, before, after, dilation, strict=True)
    return tuple((n + p + q - d * (k - 1) - 1) // s + 1 for n, k, s, p, q, d in axes)


@both_dtypes
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_im2col_and_its_twin(place, geometry, dtype):
    shape, kernel, stride, before, _, dilation = geometry
    x = rng.standard_normal(shape)
    compare(place, kernels.im2col, (x, kernel, out_sides(*geometry), stride, before, dilation), dtype)


@both_dtypes
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_col2im_and_its_twin(place, geometry, dtype):
    shape, kernel, stride, before, _, dilation = geometry
    sides = out_sides(*geometry)
    columns = rng.standard_normal((shape[0] * sides[0] * sides[1], kernel[0] * kernel[1] * shape[3]))
    compare(place, kernels.col2im, (columns, np.full(shape, np.nan), kernel, sides, stride, before, dilation), dtype)


# ---- a kernel's form in NumPy and the plain code ---------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adams_twin_and_adam(weight_decay):
    net = Dense(5, 3, rng=np.random.default_rng(0)).astype("float64")
    optimizer = Adam(net.params(), 0.1, weight_decay=weight_decay)
    w, m, s = [np.zeros(18) + x for x in (optimizer.flat.value, 0, 0)]
    for step in range(1, 5):
        g = rng.standard_normal(18)
        optimizer.flat.grad[...] = g
        optimizer.step()
        root = np.sqrt(1 - 0.999**step)
        kernels.adam(w, g, m, s, 0.5, 0.999, 0.1 * root / (1 - 0.5**step), 1e-8 * root, 1 - 0.1 * weight_decay)
    np.testing.assert_allclose(optimizer.flat.value, w, rtol=1e-13)


def test_emas_twin_and_ema():
    net = Dense(5, 3, rng=np.random.default_rng(0)).astype("float64")
    average = EMA(net, 0.9)
    expected = average.flat.value.copy()
    net.W.value[...] = 3
    average.update()
    kernels.ema(expected, average.source_flat.value, 1 - 0.9)
    np.testing.assert_allclose(average.flat.value, expected, rtol=1e-14)


def test_the_twins_of_activations_and_the_layers():
    x, b = rng.normal(0, 5, (200, 3)), rng.standard_normal(3)
    x[0] = 0
    for layer, slope in ((ReLU(), 0.0), (LeakyReLU(0.2), 0.2)):
        y, tape = layer.forward(x)
        np.testing.assert_array_equal(kernels.leaky_relu(x, slope), y)
        np.testing.assert_array_equal(kernels.slopes(y, slope), layer.derivative(tape))
        in_place = x - b
        kernels.bias_leaky_relu(in_place, b, slope)
        np.testing.assert_allclose(in_place, y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(kernels.softplus(x), Softplus()(x), rtol=1e-15)
    np.testing.assert_allclose(kernels.sigmoid(x), Sigmoid()(x), rtol=1e-15)


@pytest.mark.parametrize("shape", [(6, 4), (3, 2, 5, 4)])
def test_the_twins_of_batch_norm_and_the_layer(shape):
    layer = BatchNorm(4, momentum=0.3).astype("float64")
    for array in (layer.gamma.value, layer.beta.value, layer.running_mean, layer.running_var):
        array[...] = rng.uniform(0.5, 2, 4)
    twin = copy.deepcopy(layer)
    x, dy = rng.standard_normal((2, *shape))
    y, tape = layer.forward(x)
    dx = layer.backward(tape, dy)
    params = twin.gamma.value, twin.beta.value, twin.running_mean, twin.running_var
    y_twin, xhat, r = kernels.batch_norm(x.reshape(-1, 4), *params, 0.3, twin.eps)
    grads = twin.gamma.grad, twin.beta.grad
    dx_twin = kernels.batch_norm_backward(dy.reshape(-1, 4), xhat, r, twin.gamma.value, *grads, True)
    pairs = [(y, y_twin.reshape(shape)), (dx, dx_twin.reshape(shape)), (layer.running_mean, twin.running_mean)]
    pairs += [(layer.running_var, twin.running_var), (layer.gamma.grad, grads[0]), (layer.beta.grad, grads[1])]
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


sides = st.tuples(st.integers(1, 7), st.integers(1, 7))
few, small = st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(deadline=None)
@given(side=sides, kernel=few, stride=few, padding=small, dilation=few, channels=st.integers(1, 3))
def test_the_twins_of_convolution_and_its_plain_form(side, kernel, stride, padding, dilation, channels):
    geometry = conv.Geometry(kernel, stride, padding, dilation)
    sides = geometry.output_sides(side)
    if min(sides) < 1:
        return
    x, W = rng.standard_normal((2, *side, channels)), rng.standard_normal((*kernel, channels, 2))
    columns = kernels.im2col(x, kernel, sides, stride, padding, dilation)
    borders = [(p, p) for p in padding]
    np.testing.assert_array_equal(columns, convolution.windows(x, kernel, borders, sides, stride, dilation))
    with fast.plain():
        y = conv.correlate(x, W, geometry)
        expected_dx = conv.input_grad(W, y, x.shape, geometry)
    np.testing.assert_allclose(columns @ W.reshape(-1, 2), y.reshape(-1, 2), atol=1e-13)
    dx = np.full(x.shape, np.nan)
    kernels.col2im(y.reshape(-1, 2) @ W.reshape(-1, 2).T, dx, kernel, sides, stride, padding, dilation)
    np.testing.assert_allclose(dx, expected_dx, atol=1e-12)


# ---- the kernels where the library takes them ------------------------------------------------------------


def test_a_gpu_takes_them():
    if "a GPU" not in PLACES:
        pytest.skip(f"the kernels were not run on a GPU: {gpu()}")
    with xp.using("gpu"):
        assert kernels.can_take(xp.zeros(3, dtype="float32"))


def test_without_a_gpu_no_kernel_is_taken():
    assert not kernels.can_take(np.zeros(3, "float32"))
    with xp.using(strict_xp):
        assert not kernels.can_take(xp.zeros(3, dtype="float32"))


def takes_kernels(row):
    kinds = ("BatchNorm", "Conditional", "Conv2d", "ConvTranspose2d", "LeakyReLU", "Sequential", "convolutional")
    return row.startswith(kinds)


@pytest.mark.parametrize("row", [row for row in test_strict_layers.TABLE if takes_kernels(row)])
def test_a_layer_with_kernels_gives_the_numbers_of_one_without(on_cpu, row):
    test_strict_layers.test_layer(row, "twins")


LAUNCHES = {"gan": 163, "dcgan, average": 250, "wgan_gp": 373}  # operations of a step on a GPU: see operations.json


@pytest.mark.parametrize("example", LAUNCHES)
def test_an_example_with_kernels_gives_the_numbers_of_one_without(on_cpu, monkeypatch, example):
    model, losses, counts = two_steps(example)
    print(f"{example}: {counts.operations} operations a step with kernels")
    assert counts.names["adam"] > 0 and counts.synchronisations == 0
    assert counts.operations <= LAUNCHES[example]
    monkeypatch.undo()
    expected, expected_losses, _ = two_steps(example)
    compare_losses(losses, expected_losses)
    difference = np.abs(model.opt_G.flat.value.get() - expected.opt_G.flat.value.get())
    # Adam's first steps are about lr long. A gradient that is all rounding may move a weight by lr either way.
    assert np.median(difference) < 5e-4 * model.opt_G.lr


def compare_losses(found, expected):
    for step, expected_step in zip(found, expected, strict=True):
        assert step.keys() == expected_step.keys()
        for name, loss in step.items():
            np.testing.assert_allclose(float(loss), float(expected_step[name]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_on_a_gpu(example):
    if "a GPU" not in PLACES:
        pytest.skip("there is no GPU here: this is done where there is one, by benchmarks/gpu.sh")
    _, losses, _ = two_steps(example, "gpu")
    compare_losses(losses, two_steps(example, np)[1])
