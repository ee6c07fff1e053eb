"""Networks as people write them: parts, parameters and gradients wherever they are kept are all checked."""

from collections import OrderedDict, deque, namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from gradcheck_people import Dense, V, W, b, judge, x

# ---- parts of a network, wherever they are kept ----------------------------------------------------------


class Boxed(Dense):
    """params and grads are dictionaries."""

    def __init__(self, weight, factor=1):
        self.params, self.grads, self.factor = {"W": weight.copy(), "b": np.zeros(weight.shape[1])}, {}, factor

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy):
        self.grads["W"], self.grads["b"] = self.factor * self.x.T @ dy, dy.sum(0)
        return dy @ self.params["W"].T


class Tensors(Dense):
    """A parameter is an object with data and grad."""

    def __init__(self, weight, factor=1):
        self.W, self.b = (SimpleNamespace(data=a, grad=None) for a in (weight.copy(), np.zeros(weight.shape[1])))
        self.factor = factor

    def forward(self, x):
        self.x = x
        return x @ self.W.data + self.b.data

    def backward(self, dy):
        self.W.grad, self.b.grad = self.factor * self.x.T @ dy, dy.sum(0)
        return dy @ self.W.data.T


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


class Network:
    """Layers in any container; `order` lists them."""

    def __init__(self, keep, kind, factor):
        parts = [kind(W), Tanh(), kind(V, factor)]
        keep(self, *parts)

    def order(self):
        return self.find(self)

    def forward(self, x):
        for layer in self.order():
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.order()):
            dy = layer.backward(dy)
        return dy


Pair = namedtuple("Pair", "first second")
CONTAINERS = {  # name: (how layers are kept, how they are found, what the last layer is called)
    "list": (lambda net, *p: vars(net).update(layers=list(p)), lambda net: net.layers, "layers[2]"),
    "tuple": (lambda net, *p: vars(net).update(layers=p), lambda net: net.layers, "layers[2]"),
    "deque": (lambda net, *p: vars(net).update(layers=deque(p)), lambda net: list(net.layers), "layers[2]"),
    "dictionary": (lambda net, a, f, c: vars(net).update(blocks={"a": a, "f": f, "c": c}),
                   lambda net: list(net.blocks.values()), "blocks.c"),
    "ordered": (lambda net, a, f, c: vars(net).update(layers=OrderedDict(a=a, f=f, c=c)),
                lambda net: list(net.layers.values()), "layers.c"),
    "attributes": (lambda net, a, f, c: vars(net).update(one=a, act=f, two=c),
                   lambda net: [net.one, net.act, net.two], "two"),
    "nested": (lambda net, a, f, c: vars(net).update(body=[{"stem": (a, f)}], heads={"main": [Pair(c, None)]}),
               lambda net: [*net.body[0]["stem"], net.heads["main"][0].first], "heads.main[0][0]"),
    "objects": (lambda net, a, f, c: vars(net).update(stem=SimpleNamespace(parts=[a, f]), head=SimpleNamespace(fc=c)),
                lambda net: [*net.stem.parts, net.head.fc], "head.fc"),
    "numbered": (lambda net, a, f, c: vars(net).update(layers={0: a, 1: f, 2: c}),
                 lambda net: [net.layers[i] for i in range(3)], "layers[2]"),
}  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", [Dense, Boxed, Tensors])
def test_parts_in_containers(container, kind):
    keep, find, last = CONTAINERS[container]

    def made(factor):
        net = Network(keep, kind, factor)
        net.find = find
        return net, x

    right = judge(made, f"{last}.W")
    assert len(right.verdict) == 5 and not right.notes, str(right)


# ---- dictionaries and lists of parameters that layers share ----------------------------------------------


class Shared:
    """The arrays of net.params are those of its layers, as in books that start from scratch."""

    def __init__(self, factor):
        self.params = {"W1": W.copy(), "W2": V.copy(), "b2": b.copy()}
        self.factor = factor
        self.first = SimpleNamespace(W=self.params["W1"], dW=None)
        self.second = SimpleNamespace(W=self.params["W2"], b=self.params["b2"], dW=None, db=None)

    def forward(self, x):
        self.x, self.h = x, x @ self.first.W
        return self.h @ self.second.W + self.second.b

    def backward(self, dy):
        self.second.dW, self.second.db = self.factor * self.h.T @ dy, dy.sum(0)
        dh = dy @ self.second.W.T
        self.first.dW = self.x.T @ dh
        self.grads = {"W1": self.first.dW, "W2": self.second.dW, "b2": self.second.db}
        return dh @ self.first.W.T


class SharedSaid(Shared):
    """Its gradients are kept as dW1, dW2, db2."""

    def backward(self, dy):
        dx = super().backward(dy)
        self.grads = {f"d{name}": gradient for name, gradient in self.grads.items()}
        del self.first.dW, self.second.dW, self.second.db
        return dx


class Method(Shared):
    """Its gradients are returned by a method that makes a dictionary."""

    def backward(self, dy):
        dx, self.kept = super().backward(dy), self.grads
        del self.grads
        return dx

    def get_grads(self):
        return {name: gradient for name, gradient in self.kept.items()}


@pytest.mark.parametrize("kind", [Shared, SharedSaid, Method])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_dictionary_that_shares_its_arrays_with_layers(kind, dtype):
    def made(factor):
        net = kind(factor)
        for name, array in net.params.items():
            net.params[name] = array.astype(dtype)
        net.first.W, net.second.W, net.second.b = net.params.values()
        return net, x.astype(dtype)

    judge(made, "W2", ("x", "W1", "W2", "b2"))


class Parallel:
    """Two lists: the book's params and grads."""

    def __init__(self, factor, fill):
        self.params, self.grads = [W.copy(), V.copy()], [np.zeros_like(W), np.zeros_like(V)]
        self.factor, self.fill = factor, fill

    def forward(self, x):
        first, second = self.params
        self.x, self.h = x, x @ first
        return self.h @ second

    def backward(self, dy):
        dh = dy @ self.params[1].T
        grads = [self.x.T @ dh, self.factor * self.h.T @ dy]
        if self.fill:
            for held, grad in zip(self.grads, grads, strict=True):
                held[...] = grad
        else:
            self.grads = grads
        return dh @ self.params[0].T


@pytest.mark.parametrize("fill", [True, False])
def test_parallel_lists(fill):
    judge(lambda factor: (Parallel(factor, fill), x), "params[1]", ("x", "params[0]", "params[1]"))


class Paired(Parallel):
    """parameters() gives pairs of a parameter and its gradient."""

    def __init__(self, factor, form):
        super().__init__(factor, True)
        self.held, self.slopes, self.form = self.params, self.grads, form
        del self.params, self.grads

    def forward(self, x):
        self.x, self.h = x, x @ self.held[0]
        return self.h @ self.held[1]

    def backward(self, dy):
        dh = dy @ self.held[1].T
        self.slopes[0][...], self.slopes[1][...] = self.x.T @ dh, self.factor * self.h.T @ dy
        return dh @ self.held[0].T

    def parameters(self):
        pairs = zip(self.held, self.slopes, strict=True)
        return list(pairs) if self.form == "list" else pairs


@pytest.mark.parametrize("form", ["list", "iterator"])
def test_parameters_in_pairs(form):
    right = judge(lambda factor: (Paired(factor, form), x), "held[1]")
    assert len(right.verdict) == 3


class Views:
    """Weights are views of one flat array, as optimizers like it; so are their gradients."""

    def __init__(self, factor, dtype):
        self.flat, self.factor = np.concatenate([W.ravel(), V.ravel()]).astype(dtype), factor
        self.flat_grad = np.zeros_like(self.flat)
        self.W, self.V = self.flat[: W.size].reshape(W.shape), self.flat[W.size :].reshape(V.shape)

    def forward(self, x):
        self.x, self.h = x, x @ self.W
        return self.h @ self.V

    def backward(self, dy):
        self.flat_grad[W.size :] = self.factor * (self.h.T @ dy).ravel()
        self.flat_grad[: W.size] = (self.x.T @ (dy @ self.V.T)).ravel()
        return dy @ self.V.T @ self.W.T


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_that_are_views_of_one_array(dtype):
    right = judge(lambda factor: (Views(factor, dtype), x.astype(dtype)), "flat", ("x", "flat"))
    assert right.notes == ["not checked: W, V (arrays of the object without a gradient)",
                           "the object could not be copied: it was called itself, and has its parameters back",
                           ]  # fmt: skip


# ---- parts that know each other, and parts that share ----------------------------------------------------


class Chain:
    """Parts that are linked in both directions."""

    def __init__(self, factor):
        self.first, self.last = Dense(W), Dense(V, factor)
        self.first.next, self.last.previous = self.last, self.first

    def forward(self, x):
        return self.last.forward(self.first.forward(x))

    def backward(self, dy):
        return self.first.backward(self.last.backward(dy))


class Tied:
    """Two parts share W, and each has its own dW."""

    def __init__(self, factor):
        shared = W[:, :3] / 2
        self.one, self.two = Dense(shared, factor), Dense(shared)
        self.one.W = self.two.W

    def forward(self, x):
        return self.two.forward(np.tanh(self.one.forward(x)))

    def backward(self, dy):
        dy = self.two.backward(dy)
        return self.one.backward(dy * (1 - np.tanh(self.one.x @ self.one.W + self.one.b) ** 2))


class Decayed(Shared):
    """Adds a decay to the gradients in `grads`, and not to those of its layers."""

    def forward(self, x):
        return super().forward(x).sum() + 0.5 * (self.params["W2"] ** 2).sum()

    def backward(self):
        super().backward(np.ones((4, 2)))
        self.grads["W2"] = self.grads["W2"] + self.params["W2"]


class Collected:
    """Lists of parameters and gradients that are put together from those of its layers."""

    def __init__(self, factor):
        self.layers = [Part(W), Part(V, factor)]
        self.params = [array for layer in self.layers for array in layer.params]
        self.grads = [array for layer in self.layers for array in layer.grads]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy=1):
        for layer in self.layers[::-1]:
            dy = layer.backward(dy)
        return dy


class Part:
    def __init__(self, weight, factor=1):
        self.params, self.grads, self.factor = [weight.copy()], [np.zeros_like(weight)], factor

    def forward(self, x):
        (weight,), self.x = self.params, x
        return x @ weight

    def backward(self, dy):
        self.grads[0][...] = self.factor * self.x.T @ dy
        return dy @ self.params[0].T


class Keras:
    """Other words: built at the first call, kernel, fprop."""

    built = False

    def __init__(self, factor):
        self.factor, self.optimizer = factor, SimpleNamespace(cache={}, rate=0.1)

    def fprop(self, x, train=True):
        if not self.built:
            self.kernel, self.bias, self.built = W.copy(), np.zeros(5), True
        self.seen = x
        return x @ self.kernel + self.bias

    def bprop(self, grad_output):
        self.kernel_grad, self.bias_grad = self.factor * self.seen.T @ grad_output, grad_output.sum(0)
        return grad_output @ self.kernel.T


class Rows:
    """Layers are dictionaries in a list, and so are their gradients."""

    def __init__(self, factor):
        self.layers, self.factor = [{"W": W.copy()}, {"W": V.copy()}], factor

    def forward(self, x):
        self.x, self.h = x, x @ self.layers[0]["W"]
        return self.h @ self.layers[1]["W"]

    def backward(self, dy):
        dh = dy @ self.layers[1]["W"].T
        self.grads = [{"W": self.x.T @ dh}, {"W": self.factor * self.h.T @ dy}]
        return dh @ self.layers[0]["W"].T


@pytest.mark.parametrize(("kind", "wrong", "count"), [
    (Chain, "last.W", 5), (Tied, "one.W", 4), (Decayed, "W2", 3), (Collected, "params[1]", 3), (Keras, "kernel", 3),
    (Rows, "layers[1].W", 3),
])  # fmt: skip
def test_parts_that_share_and_parts_that_are_linked(kind, wrong, count):
    def made(factor):
        net = kind(factor)
        return (net.fprop, net.bprop, x) if kind is Keras else (net, x)

    right = judge(made, wrong)
    assert len(right.verdict) == count, str(right)
