"""Functions and losses as people write them, with all that they take and return: checked whole, or noted by name."""

import sys
import threading
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from gradcheck_people import V, W, b, judge, t, x

from scratchgan.gradcheck import AGREE, WRONG, check

# ---- losses, caches, closures ----------------------------------------------------------------------------


def cross_entropy(z, labels):
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return -np.log(p[np.arange(len(z)), labels]).mean(), p


labels = np.array([0, 1, 1, 0])


def slope(p, labels):
    dz = p.copy()
    dz[np.arange(len(p)), labels] -= 1
    return dz / len(p)


class CrossEntropy:
    """forward(x, labels) gives the loss; backward takes nothing."""

    def __init__(self, factor=1):
        self.factor = factor

    def forward(self, z, labels):
        loss, self.p = cross_entropy(z, labels)
        self.labels = labels
        return loss

    def backward(self):
        return self.factor * slope(self.p, self.labels)


class Defaulted(CrossEntropy):
    def backward(self, dout=1):
        return self.factor * slope(self.p, self.labels)  # as the books do: dout is not used


class Scaled(CrossEntropy):
    def backward(self, dout):
        return dout * self.factor * slope(self.p, self.labels)


class GivenAgain(CrossEntropy):
    def backward(self, z, labels):
        return self.factor * slope(cross_entropy(z, labels)[1], labels)


class WithCache(CrossEntropy):
    def forward(self, z, labels):
        loss, p = cross_entropy(z, labels)
        return loss, (p, labels)

    def backward(self, cache):
        return self.factor * slope(*cache)


class Called(CrossEntropy):
    """A call takes the place of forward."""

    __call__ = CrossEntropy.forward
    forward = None


@pytest.mark.parametrize("kind", [CrossEntropy, Defaulted, Scaled, GivenAgain, WithCache, Called])
def test_loss_objects(kind):
    right = judge(lambda factor: (kind(factor), (x, labels)), "x", ("x",))
    assert bool(right.notes) == (kind is Defaulted)


def half_cached(factor):
    forward = lambda z, t: (0.5 * ((z - t) ** 2).mean(), (z, t))
    return forward, lambda cache: factor * (cache[0] - cache[1]) / cache[0].size, (x @ W[:, :2], t)


def loss_and_slope(factor):
    return lambda z, t: (0.5 * ((z - t) ** 2).mean(), factor * (z - t) / z.size), None, (x @ W[:, :2], t)


def slope_alone(factor):
    forward = lambda z, t: 0.5 * ((z - t) ** 2).mean()
    return forward, lambda z, t: factor * (z - t) / z.size, (x @ W[:, :2], t)


def slope_of_dy(factor):
    forward = lambda z, t: 0.5 * ((z - t) ** 2).mean()
    return forward, lambda dy, z, t: dy * factor * (z - t) / z.size, (x @ W[:, :2], t)


def slope_in_a_dictionary(factor):
    return lambda z, t: (0.5 * ((z - t) ** 2).mean(), {"dz": factor * (z - t) / z.size}), None, (x @ W[:, :2], t)


@pytest.mark.parametrize("made", [half_cached, loss_and_slope, slope_alone, slope_of_dy, slope_in_a_dictionary])
def test_targets_of_floats_are_noted(made):
    right = judge(made, "z", ("z",))
    assert right.notes == ["not checked: t (backward gives no gradient of it)"]


def test_a_loss_with_all_its_gradients():
    forward = lambda z, t: (0.5 * ((z - t) ** 2).mean(), ((z - t) / z.size, (t - z) / z.size))
    assert check(forward, None, (x @ W[:, :2], t)).verdict == {"z": AGREE, "t": AGREE}
    masked = lambda dy, q, k, mask: (dy @ k * mask, (dy * 1).T @ (q * mask))
    right = check(lambda q, k, mask: (q * mask) @ k.T, masked, (x, x + 1, np.ones((4, 1))))
    assert right.ok and right.notes == ["not checked: mask (backward gives no gradient of it)"]
    wanting = check(lambda x, W, b: x @ W + b, lambda dy, x, W, b: (dy @ W.T, x.T @ dy), (x, W, b[:1]))
    assert not wanting.ok  # b is no target: its gradient was forgotten


class Classifier:
    """A course's network: loss(X, y) returns the loss and a dictionary of gradients."""

    def __init__(self, factor):
        self.params, self.factor, self.reg = {"W1": W.copy(), "W2": V.copy(), "b2": b.copy()}, factor, 0.1

    def loss(self, X, y=None):
        h = np.tanh(X @ self.params["W1"])
        loss, p = cross_entropy(h @ self.params["W2"] + self.params["b2"], y)
        loss += 0.5 * self.reg * sum(np.sum(self.params[name] ** 2) for name in ("W1", "W2"))
        dz = slope(p, y)
        dh = dz @ self.params["W2"].T * (1 - h * h)
        grads = {"W2": h.T @ dz * self.factor + self.reg * self.params["W2"], "b2": dz.sum(0)}
        grads["W1"] = X.T @ dh + self.reg * self.params["W1"]
        return loss, grads


def test_a_network_whose_loss_returns_a_dictionary():
    right = judge(lambda factor: (Classifier(factor).loss, None, (x, labels)), "W2", ("W1", "W2", "b2"))
    assert right.notes == ["not checked: x (backward gives no gradient of it)"]


class Book(Classifier):
    """A book's network: loss and gradient are two methods, and gradient returns what is called W1, W2, b2."""

    def forward_only(self, x, t):
        return Classifier.loss(self, x, t)[0]

    def gradient(self, x, t):
        return Classifier.loss(self, x, t)[1]


def test_two_methods_of_one_object():
    def made(factor):
        net = Book(factor)
        return net.forward_only, net.gradient, (x, labels)

    judge(made, "W2", ("W1", "W2", "b2"))


class ListsReturned:
    """A book's network: weights and biases are lists, and backprop returns two lists."""

    def __init__(self, factor):
        self.sizes, self.factor = [3, 5, 2], factor
        self.biases, self.weights = [np.zeros((5, 1)), b[:, None].copy()], [W.T.copy(), V.T.copy()]

    def cost(self, a, y):
        for bias, weight in zip(self.biases, self.weights, strict=True):
            a = np.tanh(weight @ a + bias)
        return 0.5 * np.sum((a - y) ** 2)

    def backprop(self, a, y):
        activations = [a]
        for bias, weight in zip(self.biases, self.weights, strict=True):
            activations.append(np.tanh(weight @ activations[-1] + bias))
        delta, nabla_b, nabla_w = activations[-1] - y, [0, 0], [0, 0]
        for i in (1, 0):
            delta = delta * (1 - activations[i + 1] ** 2)
            nabla_b[i], nabla_w[i] = delta, delta @ activations[i].T
            delta = self.weights[i].T @ delta
        nabla_w[1] = self.factor * nabla_w[1]
        return nabla_b, nabla_w


def test_two_lists_of_gradients():
    def made(factor):
        net = ListsReturned(factor)
        return net.cost, net.backprop, (x[:1].T, t[:1].T)

    right = judge(made, "weights[1]")
    assert set(right.verdict) == {"biases[0]", "biases[1]", "weights[0]", "weights[1]"}
    assert right.notes == ["not checked: x (backward gives no gradient of it)",
                           "not checked: y (backward gives no gradient of it)"]  # fmt: skip


def closure(factor):
    def forward(x, W):
        y = np.tanh(x @ W)

        def backward(dy):
            dz = dy * (1 - y * y)
            return dz @ W.T, factor * x.T @ dz

        return y, backward

    return forward, None, (x, W)


def closure_of_a_loss(factor):
    forward = lambda x, W: (np.sum((x @ W) ** 2), lambda: (2 * x @ W @ W.T, factor * 2 * x.T @ (x @ W)))
    return forward, None, (x, W)


def generator(factor):
    def backward(dy, x, W):
        yield dy @ W.T
        yield factor * x.T @ dy

    return lambda x, W: x @ W, backward, (x, W)


def dictionary(factor):
    def backward(dy, cache):
        x, W, h = cache
        dh = dy * (1 - h * h)
        return {"dh": dh, "dW": factor * x.T @ dh, "dx": dh @ W.T, "cache": None}

    def forward(x, W):
        h = np.tanh(x @ W)
        return h, (x, W, h)

    return forward, backward, (x, W)


def other_names(factor):
    backward = lambda dy, x, W: {"grad_input": dy @ W.T, "grad_weight": factor * x.T @ dy}
    return lambda x, W: x @ W, backward, (x, W)


def some_arguments(factor):
    return lambda x, W: x @ W, lambda dout, W, x: (dout @ W.T, factor * x.T @ dout), (x, W)


def keywords(factor):
    return lambda *, x, W: x @ W, lambda dy, x, W: (dy @ W.T, factor * x.T @ dy), (x, W)


def context(factor):
    def backward(ctx, grad_output):
        x, W = ctx.saved
        return grad_output @ W.T, factor * x.T @ grad_output

    def forward(ctx, x, W):
        ctx.saved = x, W
        return x @ W

    return forward, backward, (SimpleNamespace(), x, W)


def kept_outside(factor):
    kept = {}

    def forward(x, W):
        kept["x"], kept["W"] = x, W
        return np.tanh(x @ W)

    def backward(dy):
        dz = dy * (1 - np.tanh(kept["x"] @ kept["W"]) ** 2)
        return dz @ kept["W"].T, factor * kept["x"].T @ dz

    return forward, backward, (x, W)


def nested_list(factor):
    return lambda x, W: x @ W, lambda dy, x, W: [dy @ W.T, [factor * x.T @ dy]], (x, W)


@pytest.mark.parametrize("made", [closure, closure_of_a_loss, generator, dictionary, other_names, some_arguments,
                                  keywords, nested_list,
                                  context, kept_outside])  # fmt: skip
def test_functions_of_many_forms(made):
    right = judge(made, "W", ("x", "W"))
    assert not right.notes, str(right)


def test_a_backward_that_takes_the_output():
    for name in ("y", "out", "output"):
        made = {}
        exec(f"def backward(dy, {name}): return dy * (1 - {name}**2)", made)  # noqa: S102
        assert check(lambda x: np.tanh(x), made["backward"], x).ok
        exec(f"def backward(dy, {name}): return dy * (1 - {name})", made)  # noqa: S102
        assert check(lambda x: np.tanh(x), made["backward"], x).overall == WRONG


# ---- arguments that are no arrays ------------------------------------------------------------------------


def batch_norm(x, gamma, beta, settings):
    mean, var = x.mean(0), x.var(0)
    settings["running_mean"] = 0.9 * settings.get("running_mean", 0) + 0.1 * mean
    normal = (x - mean) / np.sqrt(var + settings.get("eps", 1e-5))
    return gamma * normal + beta, (normal, gamma, var, settings)


def batch_norm_backward(dout, cache):
    normal, gamma, var, settings = cache
    dn = dout * gamma
    dx = (dn - dn.mean(0) - normal * (dn * normal).mean(0)) / np.sqrt(var + settings.get("eps", 1e-5))
    return dx, (dout * normal).sum(0), settings.get("factor", 1) * dout.sum(0)


def test_a_dictionary_of_settings_is_passed_on():
    ones = x, np.ones(3), np.zeros(3)
    judge(lambda factor: (batch_norm, batch_norm_backward, (*ones, {"mode": "train", "factor": factor})), "beta")
    settings = {"running_mean": np.zeros(3)}
    report = check(batch_norm, batch_norm_backward, (*ones, settings))
    assert report.ok and not settings["running_mean"].any()  # copies were changed
    assert report.notes == ["not checked: settings.running_mean (backward gives no gradient of it)"]


def test_arguments_that_are_parts_of_one_array():
    whole, settings = np.vstack([x, x + 1]), {"calls": 0}

    def forward(x, w, held, settings):
        settings["calls"] += 1
        return x * w * held["W"]

    def products(factor):
        return lambda dy, x, w, held, s: (dy * w * held["W"], factor * dy * x * held["W"], {"W": dy * x * w})

    made = lambda factor: (forward, products(factor), (whole[:4], whole[4:], {"W": whole[2:6]}, settings))
    judge(made, "w", ("x", "w", "held.W"))
    assert settings == {"calls": 0} and np.array_equal(whole[:4], x)


@pytest.mark.parametrize("other", [None, "same", True, 2, (1, 2), [1, 2], {"a": 1}, slice(2), np.float32, len,
                                   np.random.default_rng(0), threading.Lock(), sys, b"x", 1j, {1, 2}])  # fmt: skip
def test_arguments_of_other_kinds_are_passed_on(other):
    seen = []

    def forward(x, other):
        seen.append(other)
        return 3 * x

    right = check(forward, lambda dy, x, other: (3 * dy,), (x, other))
    assert right.ok and list(right.verdict) == ["x"] and all(type(one) is type(other) for one in seen)
    assert not right.notes
    assert check(forward, lambda dy, x, other: (2 * dy,), (x, other)).overall == WRONG
    assert check(forward, lambda dy, x, other: (3 * dy, None), (x, other)).ok


def test_a_python_float_is_a_setting_unless_it_has_a_gradient():
    forward = lambda x, slope: np.where(x > 0, x, slope * x)
    dx = lambda dy, x, slope: dy * np.where(x > 0, 1, slope)
    setting = check(forward, lambda dy, x, slope: dx(dy, x, slope), (x, 0.2))
    reason = "a Python float, of which backward returns no gradient"
    assert setting.ok and setting.notes == [f"not checked: slope ({reason})"]
    both = lambda factor: lambda dy, x, slope: (dx(dy, x, slope), factor * np.sum(dy * np.where(x > 0, 0, x)))
    judge(lambda factor: (forward, both(factor), (x, 0.2)), "slope", ("x", "slope"))
    judge(lambda factor: (lambda x: x**3, lambda dy, x: factor * 3 * x * x * dy, 2.0), "x", ("x",))
    judge(lambda factor: (lambda x: sum(v**3 for v in x), lambda x: [factor * 3 * v**2 for v in x], ([1.0, 2.0],)), "x")


Weights = namedtuple("Weights", "first second")


def model(x, parameters):
    return np.tanh(x @ parameters["W1"]) @ parameters["W2"] + parameters["b2"]


def model_backward(dy, x, parameters, factor):
    h = np.tanh(x @ parameters["W1"])
    dz = dy @ parameters["W2"].T * (1 - h * h)
    return dz @ parameters["W1"].T, {"dW1": x.T @ dz, "dW2": factor * h.T @ dy, "db2": dy.sum(0), "dA1": dz}


def test_a_dictionary_of_parameters_as_an_argument():
    held = {"W1": W, "W2": V, "b2": b}
    both = lambda factor: (model, lambda dy, x, p: model_backward(dy, x, p, factor), (x, held))
    judge(both, "W2", ("x", "W1", "W2", "b2"))
    flat = lambda factor: lambda dy, x, p: (lambda dx, grads: {"dx": dx, **grads})(*model_backward(dy, x, p, factor))
    judge(lambda factor: (model, flat(factor), (x, held)), "W2", ("x", "W1", "W2", "b2"))
    lists = lambda factor: lambda dy, x, p: (dy @ p[1].T @ p[0].T, [x.T @ (dy @ p[1].T), factor * (x @ p[0]).T @ dy])
    for held in ([W, V], (W, V), Weights(W, V)):  # into a tuple, nothing can be written
        made = lambda factor, held=held: (lambda x, p: x @ p[0] @ p[1], lists(factor), (x, held))
        judge(made, "p[1]", ("x", "p[0]", "p[1]"))
    deep = {"enc": {"W": W}, "dec": {"W": V}}
    forward = lambda p, x: np.sum(x @ p["enc"]["W"] @ p["dec"]["W"])
    slopes = lambda p, x: {
        "enc": {"W": x.T @ (np.ones((4, 2)) @ p["dec"]["W"].T)},
        "dec": {"W": (x @ p["enc"]["W"]).T @ np.ones((4, 2))},
    }
    spoilt = lambda factor: lambda p, x: (lambda s: {**s, "dec": {"W": factor * s["dec"]["W"]}})(slopes(p, x))
    judge(lambda factor: (forward, spoilt(factor), (deep, x)), "p.dec.W", ("p.enc.W", "p.dec.W"))
