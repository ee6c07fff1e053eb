"""Manners that the checker watches, besides numbers, and derivatives of the second order."""

import numpy as np
import pytest
from test_gradcheck_verdict import drawn, f32, times

from scratchgan.gradcheck import AGREE, UNRESOLVED, WRONG, check, check_second
from scratchgan.layers import Dense, Dropout, Embedding, Sequential, Tanh
from scratchgan.layers.base import Layer
from scratchgan.param import Param

rng = np.random.default_rng(0)


def affine(dy, x, W):
    return dy @ W.T, x.T @ dy


# ---- manners ---------------------------------------------------------------------------------------------


def test_inputs_that_are_modified_are_found():
    def careless(x, W):
        x -= x.mean(0)
        return x @ W

    findings = check(careless, lambda dy, x, W: affine(dy, x - x.mean(0), W), (np.eye(3) + 1, np.eye(3))).findings
    assert "forward modifies x" in findings

    def backward(dy, x, W):
        dy *= 2
        return dy @ W.T / 2, x.T @ dy / 2

    assert check(lambda x, W: x @ W, backward, (np.eye(3), np.eye(3) + 1)).findings == ["backward modifies dy"]


def test_results_that_change_between_calls_are_found():
    own = np.random.default_rng(0)
    report = check(lambda x: x * own.uniform(0.5, 1, x.shape), lambda dy, x: (dy,), np.ones(4))
    assert any("forward changes between calls" in finding for finding in report.findings)
    counted = []

    def backward(dy, x):
        counted.append(0)
        return (dy * len(counted),)

    report = check(lambda x: x, backward, np.ones(4))
    assert any("changes when the same call is made again" in finding for finding in report.findings)


class Kept:
    """A layer that keeps x from its first call."""

    def __init__(self):
        self.W, self.x = rng.standard_normal((3, 2)), None

    def forward(self, x):
        if self.x is None:
            self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dW = self.x.T @ dy
        return dy @ self.W.T


class Summed(Kept):
    """A layer that adds to its gradients and has no way to clear them."""

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dW = getattr(self, "dW", 0) + self.x.T @ dy
        return dy @ self.W.T


def test_stale_and_accumulated_gradients_are_found():
    x = rng.standard_normal((4, 3))
    fixed = []

    def backward(dy, x):
        fixed.append(2 * x * dy)
        return (fixed[0],)

    assert check(lambda x: x * x, backward, x).findings == [
        "the gradient of x is stale, or a constant: other arguments and another dy give the same"
    ]
    kept = check(Kept(), x)
    assert kept.findings == ["the gradient of W is stale: it belongs to an earlier call"]
    summed = check(Summed(), x)
    assert any("W changes when the same call is made again: it is added to the old one" in f for f in summed.findings)


# ---- the protocol of our own layers ----------------------------------------------------------------------


class Affine(Layer):
    """y = g x + b, with `pull`, `accumulate` and `backward` each written out."""

    def __init__(self):
        self.g, self.b = Param(rng.standard_normal(3)), Param(rng.standard_normal(3))

    def forward(self, x, train=True):
        return self.g.value * x + self.b.value, [x]

    def pull(self, tape, dy):
        return self.g.value * dy, dy

    def accumulate(self, tape, dy):
        self.g.grad += (dy * tape[0]).sum(0)
        self.b.grad += dy.sum(0)

    def backward(self, tape, dy):
        self.g.grad += (dy * tape[0]).sum(0)
        self.b.grad += dy.sum(0)
        return self.g.value * dy


class PullAdds(Affine):
    def pull(self, tape, dy):
        self.b.grad += dy.sum(0)
        return super().pull(tape, dy)


class PullScales(Affine):
    def pull(self, tape, dy):
        return 2 * self.g.value * dy, dy


class PullKeepsNothing(Affine):
    def pull(self, tape, dy):
        return self.g.value * dy


class Forgets(Affine):
    def accumulate(self, tape, dy):
        self.g.grad += (dy * tape[0]).sum(0)


class Doubles(Affine):
    def accumulate(self, tape, dy):
        super().accumulate(tape, dy)
        self.b.grad += dy.sum(0)


class Overwrites(Affine):
    def accumulate(self, tape, dy):
        super().accumulate(tape, dy)
        self.b.grad[...] = dy.sum(0)


class BackwardOverwrites(Affine):
    def backward(self, tape, dy):
        self.b.grad[...] = 0
        return super().backward(tape, dy)


class SpendsItsTape(Affine):
    def backward(self, tape, dy):
        dx = super().backward(tape, dy)
        tape[0] = 0 * tape[0]
        return dx


class HasNoAccumulate(Affine):
    def accumulate(self, tape, dy):
        raise NotImplementedError("not written yet")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        (PullAdds, "pull changes the grad of b: pull is to leave every grad as it is"),
        (PullScales, "pull gives another dx than backward did with the same tape"),
        (PullKeepsNothing, "pull returns no pair, (dx, kept)"),
        (Forgets, "accumulate leaves out the gradient of b"),
        (Doubles, "accumulate adds another gradient of b than backward did with the same tape"),
        (Overwrites, "accumulate overwrites the gradient of b, instead of adding to it"),
        (BackwardOverwrites, "backward overwrites the gradient of b, instead of adding to it"),
        (SpendsItsTape, "accumulate leaves out the gradient of g"),  # what it finds in the tape is 0
        (HasNoAccumulate, "accumulate raises NotImplementedError"),
    ],
)
def test_a_layer_that_does_not_keep_to_the_protocol_is_found(kind, finding, dtype):
    report = check(kind().astype(dtype), rng.standard_normal((4, 3)).astype(dtype))
    assert set(report.verdict.values()) == {AGREE}  # its backward is right
    assert report.overall == WRONG and any(text.startswith(finding) for text in report.findings), report.findings


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_layer_that_keeps_to_the_protocol_is_not_blamed(dtype):
    for layer in (Affine(), Sequential(Dense(3, 2, rng=rng), Tanh(), Dropout(0.5, rng=np.random.default_rng(0)))):
        report = check(layer.astype(dtype), rng.standard_normal((4, 3)).astype(dtype))
        assert report.ok, str(report)
    assert check(Embedding(4, 3, rng=rng).astype(dtype), np.array([0, 3, 3])).ok  # it has no dx


# ---- complex numbers, and arrays that are written to -----------------------------------------------------


def test_complex_numbers_are_refused_by_name():
    x = drawn(3)
    for forward in (lambda x: np.exp(1j * x), np.fft.rfft, lambda x: x + 0j):
        with pytest.raises(TypeError, match="what forward returns is complex .* two real arrays"):
            check(forward, lambda dy, x: (dy,), x)
    with pytest.raises(TypeError, match="z is complex"):
        check(lambda z, x: x * z.real, lambda dy, z, x: (dy, dy), (x + 1j, x))
    both = lambda x: np.stack([np.cos(x), np.sin(x)])
    assert check(both, lambda dy, x: (-dy[0] * np.sin(x) + dy[1] * np.cos(x),), x).ok


def halved(dy, x):
    dy /= 2
    return (4 * dy * x,)


def cleared(dy, x):
    g = 2 * x * dy
    dy[...] = 0
    return (g,)


def grown(dy, x):
    dy *= 3
    return (2 * x * dy,)


@pytest.mark.parametrize(("backward", "verdict"), [(halved, AGREE), (cleared, AGREE), (grown, WRONG)])
def test_a_backward_that_writes_into_dy_is_found_and_corrupts_nothing(backward, verdict):
    report = check(lambda x: x * x, backward, np.array([1.0, -2.0, 3.0]))
    assert report.findings == ["backward modifies dy"] and report.verdict == {"x": verdict}, str(report)


def test_what_forward_and_backward_write_to_corrupts_nothing():
    def centred(x):
        x -= x.mean()
        return x

    report = check(centred, lambda dy, x: (dy - dy.mean(),), drawn(4) + 2)
    assert report.findings == ["forward modifies x"] and report.verdict == {"x": AGREE}

    def forward(x):
        y = np.tanh(x)
        return y, y

    def backward(dy, y):
        y *= y
        return ((1 - y) * dy,)

    report = check(forward, backward, drawn(4))
    assert report.findings == ["backward modifies y"] and report.verdict == {"x": AGREE}


# ---- what was asked for ----------------------------------------------------------------------------------


def test_only_is_obeyed_by_findings_too():
    product, x, t = (lambda x, t: x * t), drawn(3, 4), drawn(3, 4, seed=1)
    for other in (lambda g: g[:1], lambda g: g * np.nan, lambda g: g.astype(f32)):
        backward = lambda dy, x, t, other=other: (dy * t, other(dy * x))
        assert check(product, backward, (x, t), only=["x"]).ok
        report = check(product, backward, (x, t), only=["t"])
        assert report.findings and not report.ok

    def careless(dy, x, t):
        t *= 1
        t += 1
        return dy * (t - 1), dy * x

    assert check(product, careless, (x, t), only=["x"]).ok
    assert check(product, careless, (x, t), only=["t"]).findings == ["backward modifies t"]


def test_a_gradient_that_is_not_given_is_not_judged_and_the_first_line_says_so():
    product, x, t = (lambda x, t: x * t), drawn(3, 4), drawn(3, 4, seed=1)
    for backward in (lambda dy, x, t: (dy * t, None), lambda dy, x, t: dy * t, lambda dy, x, t: (dy * t,)):
        report = check(product, backward, (x, t))
        assert report.verdict == {"x": AGREE} and not report.findings, str(report)
        first, second = str(report).splitlines()[:2]
        assert first.startswith("gradcheck: AGREE for x; not checked: t")
        assert second == "  note: not checked: t (backward gives no gradient of it)"
        assert report.unchecked == ["t"]
        assert check(product, backward, (x, t), only=["x"]).notes == []
        assert check(product, times(backward, 1.01), (x, t)).overall == WRONG
    three = check(lambda x, w, u: x * w + u, lambda dy, x, w, u: (dy * w, dy * x), (x, t, x))
    assert three.findings == ["backward returns 2 gradients for 3 arguments x, w, u"]


def test_integers_among_the_arguments_need_no_gradient():
    x, index = drawn(4, 3), np.array([0, 2, 2])

    def backward(dy, x, index):
        g = np.zeros_like(x)
        np.add.at(g, index, dy)
        return g

    assert check(lambda x, index: x[index], backward, (x, index)).ok
    assert check(lambda index, x: x[index], lambda dy, index, x: backward(dy, x, index), (index, x)).ok


def test_nothing_to_judge_is_said():
    dense = (lambda x, W: x @ W, lambda dy, x, W: (dy @ W.T, x.T @ dy))
    report = check(*dense, (np.ones((0, 3)), np.ones((3, 2))))
    assert report.verdict == {"x": UNRESOLVED, "W": UNRESOLVED} and not report.findings, str(report)
    assert "x is empty" in report.notes[0] and "what forward returns is empty" in report.notes[1]
    report = check(lambda x, b: x + b.sum(), lambda dy, x, b: (dy, np.ones(0)), (drawn(3), np.ones(0)))
    assert report.verdict == {"x": AGREE, "b": UNRESOLVED} and "b is empty" in str(report)
    assert check(*dense, (np.ones((0, 3)), np.ones((3, 2))), directions=2).overall == UNRESOLVED


def test_the_first_line_says_how_much_is_unresolved_and_no_line_is_long():
    report = check(np.floor, lambda dy, x: (0 * dy,), np.array([0.5, 1.0, -0.3]))
    assert str(report).startswith("gradcheck: AGREE, 1 entries unresolved") and report.ok
    names = tuple(f"a_very_long_name_of_an_argument_{i}" for i in range(6))
    wrong = lambda dy, *args: tuple(2 * dy for _ in args)
    report = check(lambda *args: sum(args), wrong, tuple(drawn(3, seed=i) for i in range(6)), names=names)
    assert report.overall == WRONG and all(len(line) <= 118 for line in str(report).splitlines())


# ---- second order ----------------------------------------------------------------------------------------


def tanh_backward(dy, x, W):
    return (dy * (1 - np.tanh(x @ W) ** 2)) @ W.T


def tanh_double(ddx, dy, x, W, bend=1.0, weight=1.0):
    """Gradients of <ddx, dx> for dx = (dy s) W^T, s = 1 - t^2, t = tanh(x W)."""
    t = np.tanh(x @ W)
    s, r = 1 - t * t, ddx @ W
    dz = -2 * t * s * r * dy
    return r * s, bend * dz @ W.T, ddx.T @ (dy * s) + weight * x.T @ dz


def test_second_order_agrees_and_what_is_dropped_is_found():
    args = rng.standard_normal((4, 2)), rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
    report = check_second(tanh_backward, tanh_double, args)  # arguments have the names of the code
    assert report.ok, str(report)
    dropped = check_second(tanh_backward, lambda *a: tanh_double(*a, bend=0.0), args)
    assert dropped.verdict == {"dy": AGREE, "x": WRONG, "W": AGREE}
    dropped = check_second(tanh_backward, lambda *a: tanh_double(*a, weight=0.0), args)
    assert dropped.verdict == {"dy": AGREE, "x": AGREE, "W": WRONG}
    linear = check_second(lambda dy, x, W: dy @ W.T, lambda ddx, dy, x, W: (ddx @ W, None, ddx.T @ dy), args)
    assert linear.ok, str(linear)
