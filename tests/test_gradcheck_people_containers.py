"""Gradients in containers, caches by other names, masks, and what stands beside a gradient but cannot be moved."""

import functools
from collections import namedtuple

import numpy as np
import pytest

from scratchgan.gradcheck import AGREE, WRONG, check

rng = np.random.default_rng(8)
x, W, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)


def test_a_list_of_parameters_may_come_first():
    forward = lambda ps, x: x @ ps[0] + ps[1]
    right = lambda dy, ps, x: ([x.T @ dy, dy.sum(0)], dy @ ps[0].T)
    wrong = lambda dy, ps, x: ([x.T @ dy, 2 * dy.sum(0)], dy @ ps[0].T)
    assert check(forward, right, ([W, b], x)).verdict == {"ps[0]": AGREE, "ps[1]": AGREE, "x": AGREE}
    assert check(forward, wrong, ([W, b], x)).verdict == {"ps[0]": AGREE, "ps[1]": WRONG, "x": AGREE}


@pytest.mark.parametrize("container", ["namedtuple", "values", "generator"])
def test_gradients_in_other_containers(container):
    Pair = namedtuple("Pair", "W x")
    make = {
        "namedtuple": lambda dx, dW: Pair(x=dx, W=dW),
        "values": lambda dx, dW: {"x": dx, "W": dW}.values(),
        "generator": lambda dx, dW: (g for g in (dx, dW)),
    }[container]
    backward = lambda dy, x, W, factor=1: make(dy @ W.T, factor * x.T @ dy)
    assert check(lambda x, W: x @ W, lambda dy, x, W: backward(dy, x, W), (x, W)).ok
    twice = check(lambda x, W: x @ W, lambda dy, x, W: backward(dy, x, W, 2), (x, W))
    assert twice.verdict == {"x": AGREE, "W": WRONG}


def test_a_cache_by_another_name_beside_some_of_the_arguments():
    backward = lambda dy, W, c: (dy @ W.T, c[0].T @ dy)
    assert check(lambda x, W: (x @ W, [x, 1]), backward, (x, W)).ok


@pytest.mark.parametrize("name", ["a", "A"])
def test_an_argument_called_a_is_no_output(name):
    backward = eval(f"lambda dy, {name}: dy * np.cos({name})", {"np": np})
    assert check(np.sin, backward, (x,)).ok


@pytest.mark.parametrize("index", [np.array([True, False, True, True]), np.array([1, 3, 2], np.uint8)])
def test_a_mask_or_an_index_is_passed_as_it_is(index):
    def backward(dy, x, index):
        dx = np.zeros_like(x)
        dx[index] = dy
        return dx

    assert check(lambda x, index: x[index] ** 1.0, backward, (b.repeat(2), index)).ok


def test_a_returned_gradient_is_judged_before_one_that_is_kept():
    class Net:
        def __init__(self):
            self.W = W.copy()

        def loss(self, x):
            return ((x @ self.W) ** 2).sum()

        def gradient(self, x):
            self.dW = 2 * x.T @ (x @ self.W)
            return {"W": 3 * self.dW}

    net = Net()
    assert check(net.loss, net.gradient, (x,)).verdict["W"] == WRONG


def test_a_learning_rate_is_asked_for():
    class Layer:
        def forward(self, x):
            self.x = x
            return x * 2.0

        def backward(self, output_gradient, learning_rate):
            return 2.0 * output_gradient

    with pytest.raises(TypeError, match="functools.partial.*learning_rate=0"):
        check(Layer(), x)
    layer = Layer()
    assert check(layer.forward, lambda dy, x: functools.partial(layer.backward, learning_rate=0.0)(dy), (x,)).ok


class Number:
    def __init__(self):
        self.alpha = 0.3

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, dy):
        self.dalpha = 9 * (dy * self.x * (self.x < 0)).sum()
        return dy * np.where(self.x > 0, 1, self.alpha)


class OfTheClass:
    alpha, dalpha = W, None

    def forward(self, x):
        self.x = x
        return x @ self.alpha

    def backward(self, dy):
        self.dalpha = 3 * self.x.T @ dy
        return dy @ self.alpha.T


class Integers(OfTheClass):
    def __init__(self):
        self.alpha = np.array([[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("kind", [Number, OfTheClass, Integers])
def test_what_has_a_gradient_beside_it_and_cannot_be_moved_is_noted(kind):
    report = check(kind(), x)
    assert report.unchecked == ["alpha"] or "alpha" in str(report).splitlines()[0], str(report)


def test_a_small_argument_beside_a_large_one_is_not_waved_through():
    forward = lambda a, b: a.sum() * 1e8 + b.sum() * 1e-6
    backward = lambda dy, a, b: (1e8 * dy * np.ones(2), -5e-5 * dy * np.ones(2))
    assert not check(forward, backward, (b, b + 1)).ok


def test_the_order_of_bytes_is_no_fault():
    assert check(lambda x: x * 2, lambda dy, x: dy * 2, (x.astype(">f8"),)).ok


def test_nothing_is_exact_that_a_second_look_could_not_refute():
    ones = check(lambda x, W: x @ W, lambda dy, x, W: (dy @ W.T, 2 * x.T @ dy), (x[:, :2], np.ones((2, 2)))).causes[0]
    least = check(lambda x: x.max(1), lambda dy, x: dy[:, None] * (x == x.min(1, keepdims=True)), (x,)).causes[0]
    assert ones.exact and "every entry is 2 times too large" in ones.text
    assert "0 times that" not in least.text
