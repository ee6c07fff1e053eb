"""What the checker accepts: functions of several styles, objects of several styles, and code that is not NumPy's."""

import copy
import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from scratchgan import xp
from scratchgan.gradcheck import AGREE, WRONG, check, check_second, complex_step
from scratchgan.layers import (
    BatchNorm,
    Conditional,
    ConditionalAffine,
    Conv2d,
    Dense,
    Dot,
    Dropout,
    Each,
    Embedding,
    Fork,
    Join,
    LabelChannels,
    Layer,
    Part,
    Projection,
    Sequential,
    Tanh,
)
from scratchgan.tools.strict import strict_xp

rng = np.random.default_rng(0)
x, W, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)


# ---- functions -------------------------------------------------------------------------------------------


def test_plain_functions_a_cache_a_loss_and_a_value_with_its_gradients():
    report = check(lambda x, W: x @ W, lambda dy, x, W: (dy @ W.T, x.T @ dy), (x, W))
    assert report.verdict == {"x": AGREE, "W": AGREE}  # named as the function names them
    backward = lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy, dy.sum(0))
    cached = check(lambda x, w, b: (x @ w + b, (x, w, b)), backward, (x, W, b))
    assert cached.verdict == {"x": AGREE, "w": AGREE, "b": AGREE}
    assert check(lambda w: (w**3).sum(), lambda w: 3 * w**2, W).ok
    assert check(lambda *w: sum((v**3).sum() for v in w), lambda *w: tuple(3 * v**2 for v in w), (W, b)).ok
    assert check(lambda w: ((w**3).sum(), 3 * w**2), None, W).ok
    assert check(lambda w: ((w**3).sum(), 2 * w**2), None, W).overall == WRONG
    halved = check(lambda x, y: ((x - y) ** 2).mean(), lambda dy, x, y: dy * (x - y) / 2, (W[0], b), only=["x"])
    assert halved.overall == WRONG


def test_integers_are_passed_on_and_a_dict_of_gradients_is_in_order():
    labels = np.array([0, 1, 1, 0])

    def loss(z, labels):
        e = np.exp(z - z.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        dz = p.copy()
        dz[np.arange(4), labels] -= 1
        return -np.log(p[np.arange(4), labels]).mean(), dz / 4

    assert check(loss, None, (x @ W, labels)).verdict == {"z": AGREE}
    assert check(lambda x, W: x @ W, lambda dy, x, W: {"x": dy @ W.T, "W": x.T @ dy}, (x, W)).ok


def test_a_dict_of_gradients_is_read_by_its_names():
    turned = lambda dy, x, W: {"dW": x.T @ dy, "dx": dy @ W.T}
    assert check(lambda x, W: x @ W, turned, (x, W)).ok
    assert check(lambda x, W: x @ W, lambda dy, x, W: {"a": dy @ W.T, "b": x.T @ dy}, (x, W)).ok  # in their own order
    lacking = check(lambda x, W: x @ W, lambda dy, x, W: {"dW": x.T @ dy}, (x, W))
    assert lacking.verdict == {"W": AGREE} and lacking.notes == ["not checked: x (backward gives no gradient of it)"]


# ---- objects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [
    Dense(3, 2, rng=rng), Sequential(Dense(3, 5, rng=rng), BatchNorm(5), Tanh(), Dense(5, 1, rng=rng)),
    Dropout(0.5, rng=np.random.default_rng(1)),
], ids=str)  # fmt: skip
def test_layers_of_scratchgan_to_both_orders(layer):
    layer = copy.deepcopy(layer).astype("float64")
    assert check(layer, x).ok and check_second(layer, x).ok
    assert check(layer.astype("float32"), x.astype("float32")).ok
    assert all(not param.grad.any() for param in layer.params())  # the layer is left as it was


labels = np.array([0, 2, 2, 1])


@pytest.mark.parametrize(("layer", "pair"), [
    (LabelChannels(3, 2, rng=rng), (x, labels)), (Projection(3, 3, rng=rng), (x, labels)),
    (Conditional(Dense(3, 2, rng=rng), Tanh(), ConditionalAffine(3, 2)), (x, labels)),
    (Each(Dense(3, 2, rng=rng), Tanh()), (x, 2 * x)), (Sequential(Each(Tanh(), Tanh()), Dot()), (x, x + 1)),
    (Sequential(Part(0), Tanh()), (x, 2 * x)), (Fork(Tanh(), Fork(Dense(3, 2, rng=rng), Tanh())), (x,)),
], ids=lambda value: str(value) if isinstance(value, Layer) else "")  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_layers_whose_x_or_y_is_a_tuple_to_both_orders(layer, pair, dtype):
    layer = copy.deepcopy(layer).astype(dtype)
    pair = tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in pair)
    report, second = check(layer, pair), check_second(layer, pair)
    assert report.ok and second.ok, f"{report}\n{second}"
    floats = [name for name, a in zip(("x", "x2"), pair, strict=False) if a.dtype.kind == "f"]
    assert list(report.verdict) == [*floats, *layer.named_params()]
    assert list(second.verdict) == ["dy", *floats, *layer.named_params()]


class OnePart(Each):
    """Its gradient is that of the first part alone, or of both with the second one halved."""

    def __init__(self, whole):
        super().__init__(Tanh(), Tanh())
        self.whole = whole

    def pull(self, tapes, dys):
        (da, db), kept = super().pull(tapes, dys)
        return (da, db / 2) if self.whole else da, kept

    def backward(self, tapes, dys):
        return self.pull(tapes, dys)[0]


def test_a_wrong_gradient_of_a_tuple_is_found():
    assert check(OnePart(True), (x, x + 1)).verdict == {"x": AGREE, "x2": WRONG}
    assert check_second(OnePart(True), (x, x + 1)).overall == WRONG
    with pytest.raises(TypeError, match="x is a tuple of 2 arrays and its gradient a ndarray"):
        check(OnePart(False), (x, x + 1))


def test_a_tuple_of_arrays_of_a_device():
    with xp.using(strict_xp):
        layer = Sequential(Each(Dense(3, 2, rng=rng), Tanh()), Join())
        pair = xp.to_device(x.astype("float32")), xp.to_device(x.astype("float32"))
        for report in (check(layer, pair), check_second(layer, pair), check(Fork(Tanh(), Tanh()), pair[0])):
            assert report.ok, str(report)


class Bare(Layer):
    """W is an array and no Param, with its gradient beside it."""

    def __init__(self, early):
        self.W = W.copy()
        if early:
            self.dW = np.zeros_like(W)

    def forward(self, x, train=True):
        return x @ self.W, x

    def pull(self, tape, dy):
        return dy @ self.W.T, None

    def backward(self, tape, dy):
        self.dW = tape.T @ dy
        return self.pull(tape, dy)[0]


@pytest.mark.parametrize("early", [True, False])
def test_an_array_of_a_layer_that_is_no_param_is_noted(early):
    bare = check(Bare(early), x)
    assert bare.verdict == {"x": AGREE} and bare.notes == ["not checked: W (arrays outside a Param)"]
    inside = check(Sequential(Bare(early), Dense(2, 2, rng=rng).astype("float64"), BatchNorm(2).astype("float64")), x)
    assert inside.ok and inside.notes == ["not checked: layers[0].W (arrays outside a Param)"]


def test_an_embedding_is_checked_in_its_weights():
    assert check(Embedding(4, 3, rng=rng).astype("float64"), np.array([[0, 3], [3, 1]])).verdict == {"W": AGREE}


class Attributes:
    """Keeps x on itself; W and b beside dW and db."""

    def __init__(self, factor=1.0):
        self.W, self.b, self.factor = W.copy(), b.copy(), factor

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.factor * self.x.T @ dout, dout.sum(0)
        return dout @ self.W.T


class Dictionary(Attributes):
    """params and grads, two dicts; a cache."""

    def __init__(self, factor=1.0):
        self.params, self.grads, self.factor = {"W": W.copy(), "b": b.copy()}, {}, factor

    def forward(self, x):
        return x @ self.params["W"] + self.params["b"], x

    def backward(self, dout, x):
        self.grads = {"W": self.factor * x.T @ dout, "b": dout.sum(0)}
        return dout @ self.params["W"].T


class Parts(Attributes):
    """parameters() lists objects with data and grad, which add up until zero_grad."""

    def __init__(self, factor=1.0):
        from types import SimpleNamespace

        self.factor = factor
        self.W, self.b = (SimpleNamespace(data=a.copy(), grad=np.zeros_like(a)) for a in (W, b))

    def parameters(self):
        return [self.W, self.b]

    def zero_grad(self):
        for part in self.parameters():
            part.grad = np.zeros_like(part.data)

    def forward(self, x):
        self.x = x
        return x @ self.W.data + self.b.data

    def backward(self, dout):
        self.W.grad = self.W.grad + self.factor * self.x.T @ dout
        self.b.grad = self.b.grad + dout.sum(0)
        return dout @ self.W.data.T


@pytest.mark.parametrize("kind", [Attributes, Dictionary, Parts])
def test_objects_that_keep_parameters_in_their_own_way(kind):
    report = check(kind(), x)
    assert report.ok and len(report.verdict) == 3, str(report)
    wrong = check(kind(factor=0.5), x)
    assert list(wrong.verdict.values()) == [AGREE, WRONG, AGREE], str(wrong)
    owner = kind()
    before = repr(vars(owner))
    check(owner, x)
    assert repr(vars(owner)) == before  # copies are checked


# ---- other arrays, other languages -----------------------------------------------------------------------


def test_arrays_of_a_device_are_given_and_taken():
    """strict_xp's arrays refuse NumPy as CuPy's do: so the code under test sees none but those of its kind."""
    with xp.using(strict_xp):
        given = xp.to_device(x.astype("float32")), xp.to_device(W.astype("float32"))
        report = check(lambda x, W: xp.tanh(x @ W), lambda dy, x, W: tanh_affine(xp, dy, x, W), given)
        assert report.ok, str(report)
        wrong = check(lambda x, W: xp.tanh(x @ W), lambda dy, x, W: (2 * tanh_affine(xp, dy, x, W)[0], dy), given)
        assert wrong.verdict == {"x": WRONG, "W": WRONG}


def tanh_affine(xp, dy, x, W):
    y = xp.tanh(x @ W)
    dz = dy * (1 - y * y)
    return dz @ W.T, x.T @ dz


COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
SOURCE = """
void forward(const double *x, double *y, int n) { for (int i = 0; i < n; i++) y[i] = x[i] * x[i] * x[i]; }
void backward(const double *x, const double *dy, double *dx, int n) {
    for (int i = 0; i < n; i++) dx[i] = 3 * x[i] * x[i] * dy[i] * (i == 4 ? 1.001 : 1);
}
"""


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler (cc, gcc or clang)")
def test_a_ctypes_function_is_checked(tmp_path):
    (tmp_path / "cube.c").write_text(SOURCE)
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", "cube.so", "cube.c"], cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "cube.so"))
    array = np.ctypeslib.ndpointer(dtype=np.float64, flags="C")
    library.forward.argtypes, library.backward.argtypes = [array, array, ctypes.c_int], [array] * 3 + [ctypes.c_int]

    def forward(x):
        y = np.empty_like(x)
        library.forward(x, y, x.size)
        return y

    def backward(dy, x):
        dx = np.empty_like(x)
        library.backward(x, dy, dx, x.size)
        return dx

    report = check(forward, backward, rng.standard_normal((2, 3)))
    assert report.overall == WRONG and report.worst.index == (1, 1) and report.comparisons["x"].wrong().sum() == 1


def test_a_network_agrees_with_a_complex_step():
    """The same derivative twice: the checker's, and one line of `complex_step`."""
    layer = Conv2d(2, 3, 3, padding=1, rng=rng).astype("float64")
    picture = rng.standard_normal((1, 4, 3, 2))
    dy, v = rng.standard_normal((1, 4, 3, 3)), rng.standard_normal(picture.shape)
    y, tape = layer.forward(picture)
    slope = complex_step(lambda x: copy.deepcopy(layer).astype(complex).forward(x)[0], picture, v)
    assert abs((dy * slope).sum() - (layer.backward(tape, dy) * v).sum()) < 1e-12
    assert check(layer, picture).ok


# ---- what once passed for right, or for wrong ------------------------------------------------------------


class Weight:
    name = "W"

    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class Twice:
    """y = x W W', both called W."""

    def __init__(self, error):
        self.params, self.error = [Weight(rng.standard_normal((3, 3))) for _ in range(2)], error

    def forward(self, x):
        self.x, self.h = x, x @ self.params[0].value
        return self.h @ self.params[1].value

    def backward(self, dy):
        one, other = self.params
        dh = dy @ other.value.T
        one.grad, other.grad = self.x.T @ dh + self.error, self.h.T @ dy
        return dh @ one.value.T


def test_parameters_of_one_name_are_all_checked():
    assert check(Twice(0), x).verdict == {"x": AGREE, "params[0]": AGREE, "params[1]": AGREE}
    assert check(Twice(17), x).verdict == {"x": AGREE, "params[0]": WRONG, "params[1]": AGREE}


@pytest.mark.parametrize("make", [lambda: Dense(3, 2, rng=rng), lambda: BatchNorm(3)])
def test_a_layer_in_float32_at_a_float64_input(make):
    layer = make()
    before = layer.state()
    for report in (check(layer, x), check_second(layer, x)):
        assert report.ok and not report.findings, str(report)
    for name, array in layer.state().items():  # running statistics too
        np.testing.assert_array_equal(array, before[name])
