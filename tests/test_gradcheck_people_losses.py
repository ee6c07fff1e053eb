"""Loss objects of a well-known book: per-sample losses, a mean, and a backward that takes predictions for dvalues."""

import numpy as np
import pytest
from gradcheck_people import judge

from scratchgan.gradcheck import check

rng = np.random.default_rng(0)
p, labels = rng.uniform(0.1, 0.9, (4, 3)), np.array([0, 1, 2, 0])
rows = np.eye(3)[labels]


class Loss:
    def __init__(self, factor=1):
        self.factor = factor

    def calculate(self, output, y, *, include_regularization=False):
        return np.mean(self.forward(output, y))


class CrossEntropy(Loss):
    def forward(self, y_pred, y_true):
        picked = y_pred[range(len(y_pred)), y_true] if y_true.ndim == 1 else (y_pred * y_true).sum(1)
        return -np.log(picked)

    def backward(self, dvalues, y_true):
        samples, count = len(dvalues), len(dvalues[0])
        y_true = np.eye(count)[y_true] if y_true.ndim == 1 else y_true
        self.dinputs = -self.factor * y_true / dvalues / samples


class Squares(Loss):
    def forward(self, y_pred, y_true):
        return np.mean((y_true - y_pred) ** 2, axis=-1)

    def backward(self, dvalues, y_true):
        self.dinputs = -2 * self.factor * (y_true - dvalues) / dvalues.shape[-1] / len(dvalues)


class Softmax:
    def forward(self, inputs):
        e = np.exp(inputs - inputs.max(1, keepdims=True))
        self.output = e / e.sum(1, keepdims=True)


class SoftmaxCrossEntropy(Loss):
    """backward takes the output of its softmax for dvalues."""

    def forward(self, inputs, y_true):
        activation = Softmax()
        activation.forward(inputs)
        self.output = activation.output
        return CrossEntropy().calculate(self.output, y_true)

    def backward(self, dvalues, y_true):
        self.dinputs = dvalues.copy()
        self.dinputs[range(len(dvalues)), y_true] -= 1
        self.dinputs *= self.factor / len(dvalues)


few = p[:3], rows[:3]
SETS = [(CrossEntropy, (p, labels)), (CrossEntropy, few), (Squares, (p, rows)), (Squares, few)]


@pytest.mark.parametrize(("kind", "args"), SETS)
def test_losses_of_each_sample_are_refused_with_advice(kind, args):
    with pytest.raises(TypeError, match="a loss for each sample.*calculate"):
        check(kind(), args)


@pytest.mark.parametrize(("kind", "args"), SETS)
def test_their_mean_is_checked(kind, args):
    def made(factor):
        loss = kind(factor)
        return loss.calculate, loss.backward, args

    right = judge(made, "x", ("x",))
    assert bool(right.notes) == (args[1].dtype == float)  # targets of floats


def test_a_loss_that_is_given_its_own_output():
    judge(lambda factor: (SoftmaxCrossEntropy(factor), (p, labels)), "x", ("x",))


class Upstream(Squares):
    """A loss for each sample, and an upstream gradient for each."""

    def backward(self, dout, y_true):
        return dout[:, None] * -2 * self.factor * (y_true - self.seen) / self.seen.shape[-1]

    def forward(self, y_pred, y_true):
        self.seen = y_pred
        return super().forward(y_pred, y_true)


@pytest.mark.parametrize("count", [3, 4])
def test_a_loss_of_each_sample_with_an_upstream_gradient(count):
    judge(lambda factor: (Upstream(factor), (p[:count], rows[:count])), "x", ("x",))
