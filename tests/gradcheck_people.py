"""How code as people write it is tested: right code, and the same code with one gradient wrong."""

import numpy as np

from scratchgan.gradcheck import WRONG, check

rng = np.random.default_rng(0)
x, t = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
W, V, b = rng.standard_normal((3, 5)), rng.standard_normal((5, 2)), rng.standard_normal(2)


def judge(made, wrong, names=None):
    """Hold right code to AGREE, and code that doubles one gradient to WRONG in that part alone.

    made: a function of a factor that returns what `check` takes; wrong: the name of the part that the factor spoils.
    """
    right = check(*made(1))
    assert right.ok, str(right)
    assert names is None or set(right.verdict) == set(names), str(right)
    spoilt = check(*made(2))
    assert {name for name, verdict in spoilt.verdict.items() if verdict == WRONG} == {wrong}, str(spoilt)
    assert set(spoilt.verdict) == set(right.verdict)
    return right


class Dense:
    def __init__(self, weight, factor=1):
        self.W, self.b, self.factor = weight.copy(), np.zeros(weight.shape[1]), factor

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.factor * self.x.T @ dy, dy.sum(0)
        self.dx = dy @ self.W.T
        return self.dx
