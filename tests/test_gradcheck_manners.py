"""Manners that the checker watches, besides numbers, and derivatives of the second order."""

import numpy as np

from scratchgan.gradcheck import AGREE, WRONG, check, check_second

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
    report = check_second(tanh_backward, tanh_double, args, names=("dy", "x", "W"))
    assert report.ok, str(report)
    dropped = check_second(tanh_backward, lambda *a: tanh_double(*a, bend=0.0), args, names=("dy", "x", "W"))
    assert dropped.verdict == {"dy": AGREE, "x": WRONG, "W": AGREE}
    dropped = check_second(tanh_backward, lambda *a: tanh_double(*a, weight=0.0), args, names=("dy", "x", "W"))
    assert dropped.verdict == {"dy": AGREE, "x": AGREE, "W": WRONG}
    linear = check_second(lambda dy, x, W: dy @ W.T, lambda ddx, dy, x, W: (ddx @ W, None, ddx.T @ dy), args)
    assert linear.ok, str(linear)
