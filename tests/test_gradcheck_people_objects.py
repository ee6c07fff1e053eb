"""Objects as people write them: what they return or keep, what cannot be copied, and what is refused by name."""

import logging
import threading

import numpy as np
import pytest
from gradcheck_people import Dense, W, judge, rng, x

from scratchgan.gradcheck import AGREE, check

# ---- objects that keep what others return ----------------------------------------------------------------


class Stores(Dense):
    """forward keeps self.output and returns None; backward keeps self.dinputs, and returns None."""

    outputs, inputs = "output", "dinputs"

    def forward(self, x):
        self.inputs_seen = x
        setattr(self, self.outputs, x @ self.W + self.b)

    def backward(self, dvalues):
        self.dW, self.db = self.inputs_seen.T @ dvalues, dvalues.sum(0)
        setattr(self, self.inputs, self.factor * dvalues @ self.W.T)


class StoresOut(Stores):
    outputs, inputs = "out", "dx"


class StoresY(Stores):
    outputs, inputs = "y", "grad_input"


@pytest.mark.parametrize("kind", [Stores, StoresOut, StoresY])
def test_objects_that_keep_their_results(kind):
    judge(lambda factor: (kind(W, factor), x), "x", ("x", "W", "b"))


class Returning(Dense):
    """backward returns dx, dW, db, and keeps nothing."""

    def backward(self, dy):
        return dy @ self.W.T, self.factor * self.x.T @ dy, dy.sum(0)


class ReturningNames(Dense):
    def backward(self, dy):
        return {"dx": dy @ self.W.T, "dW": self.factor * self.x.T @ dy, "db": dy.sum(0)}


class ReturningBoth(Dense):
    def backward(self, dy):
        return dy @ self.W.T, {"W": self.factor * self.x.T @ dy, "b": dy.sum(0)}


def test_what_backward_returns_and_keeps_must_agree():
    """Nobody knows with which of the two people train."""

    class Twice(Dense):
        def backward(self, dy):
            return super().backward(dy), self.returned and self.returned * self.dW, self.db

    for returned in (1, 2, None):
        layer = Twice(W)
        layer.returned = returned
        report = check(layer, x)
        assert set(report.verdict.values()) == {AGREE} and list(report.verdict) == ["x", "W", "b"], str(report)
        assert report.findings == ["backward returns another gradient of W than it keeps"] * (returned == 2)


class KeepsX(Dense):
    """x and dx are attributes too, from the start."""

    def __init__(self, weight, factor=1):
        super().__init__(weight, factor)
        self.x, self.dx = np.zeros((4, 3)), np.zeros((4, 3))

    def forward(self, x):
        self.x[...] = x
        return self.x @ self.W + self.b


class Lazy(Dense):
    """W is made at the first call."""

    def __init__(self, weight, factor=1):
        self.factor, self.width, self.W = factor, weight.shape[1], None

    def forward(self, x):
        if self.W is None:
            self.W, self.b = rng.standard_normal((x.shape[1], self.width)), np.zeros(self.width)
        return super().forward(x)


class LazyPart:
    """A part is made at the first call."""

    def __init__(self, weight, factor=1):
        self.make = lambda: Dense(weight, factor)

    def forward(self, x):
        if not hasattr(self, "W"):
            made = self.make()
            self.__dict__.update(W=made.W, b=made.b, factor=made.factor)
        return Dense.forward(self, x)

    backward = Dense.backward


class TrulySlotted:
    __slots__ = ("W", "b", "dW", "db", "dx", "factor", "x")
    __init__, forward, backward = Dense.__init__, Dense.forward, Dense.backward


class Hidden:
    """Names begin with an underscore; W and dW are properties."""

    def __init__(self, weight, factor=1):
        self._W, self._b, self._dW, self._db = weight.copy(), np.zeros(weight.shape[1]), None, None
        self.factor = factor

    W, dW = property(lambda self: self._W), property(lambda self: self._dW)

    def forward(self, x):
        self._x = x
        return x @ self._W + self._b

    def backward(self, dy):
        self._dW, self._db = self.factor * self._x.T @ dy, dy.sum(0)
        return dy @ self._W.T


FORMS = [Returning, ReturningNames, ReturningBoth, KeepsX, Lazy, LazyPart, TrulySlotted, Hidden]


@pytest.mark.parametrize("kind", FORMS)
def test_dense_layers_of_many_forms(kind):
    wrong = "_W" if kind is Hidden else "W"
    judge(lambda factor: (kind(W, factor), x), wrong, ("x", wrong, wrong.replace("W", "b")))


# ---- more than one output --------------------------------------------------------------------------------


def step(x, h, c, W):
    a = np.concatenate([x, h], 1) @ W
    f, g = 1 / (1 + np.exp(-a[:, :5])), np.tanh(a[:, 5:])
    new = f * c + g
    return np.tanh(new), new, (x, h, c, W, f, g, new)


def step_backward(dnext_h, dnext_c, cache, factor):
    x, h, c, W, f, g, new = cache
    dnew = dnext_c + dnext_h * (1 - np.tanh(new) ** 2)
    da = np.concatenate([dnew * c * f * (1 - f), dnew * (1 - g * g)], 1)
    dxh = da @ W.T
    return dxh[:, :3], dxh[:, 3:], factor * dnew * f, np.concatenate([x, h], 1).T @ da


def test_a_step_with_two_outputs():
    args = x, rng.standard_normal((4, 5)), rng.standard_normal((4, 5)), rng.standard_normal((8, 10))
    made = lambda factor: (step, lambda dh, dc, cache: step_backward(dh, dc, cache, factor), args)
    judge(made, "c", ("x", "h", "c", "W"))


# ---- objects that cannot be copied whole -----------------------------------------------------------------


class Holds(Dense):
    """Holds something that no copy can be made of."""

    def __init__(self, weight, factor, what):
        super().__init__(weight, factor)
        self.what, self.more = what, {"deep": [what]}


HELD = {
    "module": lambda: np, "lock": threading.Lock, "file": lambda: open(__file__, encoding="utf-8"),  # noqa: SIM115
    "logger": lambda: logging.getLogger("net"), "generator": lambda: (i for i in range(3)),
    "rng": lambda: np.random.default_rng(0), "thread": threading.Thread, "function": lambda: lambda: 0,
}  # fmt: skip


@pytest.mark.parametrize("what", HELD)
def test_objects_that_hold_what_cannot_be_copied(what):
    held = HELD[what]()
    right = judge(lambda factor: (Holds(W, factor, held), x), "W", ("x", "W", "b"))
    assert not right.notes


class Uncopyable(Dense):
    def __deepcopy__(self, memo):
        raise RuntimeError("there is one of me")


def test_an_object_that_cannot_be_copied_gets_its_parameters_back():
    right = judge(lambda factor: (Uncopyable(W, factor), x), "W", ("x", "W", "b"))
    assert right.notes == ["the object could not be copied: it was called itself, and has its parameters back"]
    owner = Uncopyable(W)
    held = owner.W
    check(owner, x)
    assert owner.W is held and np.array_equal(held, W)


class PartThatCannot:
    """One of its parts cannot be copied."""

    def __init__(self, factor):
        self.parts = [Uncopyable(W, factor)]

    def forward(self, x):
        return self.parts[0].forward(x)

    def backward(self, dy):
        return self.parts[0].backward(dy)


class Closure(Dense):
    """A function that it holds reads the object itself."""

    def __init__(self, factor):
        super().__init__(W, factor)
        self.affine = lambda x: x @ self.W + self.b

    def forward(self, x):
        self.x = x
        return self.affine(x)


class Proxy:
    """Hands everything on to another object."""

    def __init__(self, factor):
        self.inner = Dense(W, factor)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize(("kind", "wrong"), [(PartThatCannot, "parts[0].W"), (Closure, "W"), (Proxy, "inner.W")])
def test_an_object_of_which_a_part_cannot_be_copied(kind, wrong):
    right = judge(lambda factor: (kind(factor), x), wrong)
    assert len(right.verdict) == 3 and len(right.notes) == 1 and "could not be copied" in right.notes[0]


class Averages(Dense):
    """Holds arrays that are no parameters."""

    def __init__(self, factor):
        super().__init__(W, factor)
        self.running_mean, self.velocity = np.zeros(3), {"W": np.zeros_like(W)}

    def forward(self, x):
        self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(0)
        return super().forward(x)


def test_arrays_without_a_gradient_are_noted():
    right = judge(lambda factor: (Averages(factor), x), "W", ("x", "W", "b"))
    assert right.notes == ["not checked: running_mean, velocity.W (arrays of the object without a gradient)"]


def test_what_a_function_reads_besides_its_arguments_is_noted():
    layer, held = Dense(W), {"W": W}
    forwards = {"W": lambda x: x @ W, "held.W": lambda x: x @ held["W"], "layer.W, layer.b": lambda x: layer.forward(x)}
    for names, forward in forwards.items():
        report = check(forward, lambda dy, x: dy @ W.T, x)
        assert report.ok and report.notes == [f"not checked: {names} (forward reads it, and does not take it)"]
    report = check(Dense(W).forward, lambda dy, x: dy @ W.T, x)  # a method and a function
    assert report.notes == ["not checked: Dense.W, Dense.b (forward reads it, and does not take it)"]


class Unkept(Dense):
    """Its gradient of W is lost."""

    def backward(self, dy):
        self.db = dy.sum(0)
        return dy @ self.W.T


class NoneKept(Unkept):
    def backward(self, dy):
        self.dW = None
        return super().backward(dy)


class Normalised(Dense):
    """forward writes W itself."""

    def forward(self, x):
        self.W /= np.linalg.norm(self.W)
        return super().forward(x)


@pytest.mark.parametrize("kind", [Unkept, NoneKept, Normalised])
def test_parameters_that_cannot_be_checked_are_noted(kind):
    report = check(kind(W), x)
    assert set(report.verdict) == {"x", "b"} and set(report.verdict.values()) == {AGREE}, str(report)
    assert report.notes == ["not checked: W (arrays of the object without a gradient)"]


def test_a_layer_that_was_used_before():
    def made(factor):
        layer = Dense(W, factor)
        layer.backward(layer.forward(x))
        return layer, x

    assert not judge(made, "W", ("x", "W", "b")).notes


class Number:
    def __init__(self, data):
        self.data, self.grad = data, 0.0


class Neuron:
    """Its parameters are objects that hold one Python number each."""

    def __init__(self, factor):
        self.w, self.b, self.factor = [Number(float(w)) for w in W[:, 0]], Number(0.3), factor

    def parameters(self):
        return [*self.w, self.b]

    def zero_grad(self):
        for one in self.parameters():
            one.grad = 0.0

    def forward(self, x):
        self.x = x
        self.y = np.tanh(sum(w.data * value for w, value in zip(self.w, x, strict=True)) + self.b.data)
        return self.y

    def backward(self, dy):
        dz = dy * (1 - self.y**2)
        for w, value in zip(self.w, self.x, strict=True):
            w.grad += dz * value
        self.b.grad += self.factor * dz
        return np.array([dz * w.data for w in self.w])


def test_parameters_that_are_numbers():
    judge(lambda factor: (Neuron(factor), x[0]), "b", ("x", "w[0]", "w[1]", "w[2]", "b"))


# ---- what is refused -------------------------------------------------------------------------------------


def foreign(module, name, **more):
    return type(name, (), {"__module__": module, "shape": (2,), **more})()


@pytest.mark.parametrize(("thing", "said"), [
    (np.matrix([[1.0, 2.0]]), "x is a numpy.matrix.*numpy.asarray"),
    (np.ma.array([1.0], mask=[0]), "MaskedArray.*filled"),
    (foreign("pandas.core.frame", "DataFrame", get=None, dtype=None), "x is a pandas.DataFrame.*to_numpy"),
    (foreign("scipy.sparse._csr", "csr_matrix"), "scipy.csr_matrix.*toarray"),
    (foreign("torch", "Tensor", dtype=None), "torch.Tensor.*detach"),
    (foreign("jaxlib.xla_extension", "ArrayImpl", __array__=None), "jaxlib.ArrayImpl.*asarray"),
    (foreign("mine", "Tensor", __array__=None), "mine.Tensor.*asarray"),
    (np.array([None, "a"]), "object"), (np.array(["a"]), "str"),
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_arrays_of_others_are_refused_by_name(thing, said):
    with pytest.raises(TypeError, match=said):
        check(lambda x: x, lambda dy, x: dy, (thing,))
    with pytest.raises(TypeError, match=said.replace("x is", "what forward returns is")):
        check(lambda x: thing, lambda dy, x: dy, x)
    with pytest.raises(TypeError, match=said.replace("x is", ".* is")):
        check(lambda x, p: x, lambda dy, x, p: dy, (x, {"inner": [thing]}))


@pytest.mark.parametrize(("call", "said"), [
    (lambda: check(lambda x: None, lambda dy, x: dy, x), "forward returned None"),
    (lambda: check(lambda x: {"y": x}, lambda dy, x: dy, x), "forward returned a dict"),
    (lambda: check(Dense, x), "Dense is a class"),
    (lambda: check(object(), x), "no forward and backward"),
    (lambda: check(lambda x: x, lambda dy, x, a, b, c: dy, x), "backward takes dy, x, a, b, c"),
    (lambda: check(lambda x: x, lambda dy, x: None, x), "no gradient"),
    (lambda: check(lambda x: x, None, x), "there is no backward"),
    (lambda: check(lambda x: x, lambda dy, x: dy, (x, x, x)), "."),
])  # fmt: skip
def test_what_cannot_be_checked_is_refused_with_advice(call, said):
    with pytest.raises(TypeError, match=said):
        call()
