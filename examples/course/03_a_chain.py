"""Chapter 3: a chain of layers, and why `pull` and `accumulate` are two.

A network is a chain: the y of one layer is the x of the next. Back again, the dx of one layer is
the dy of the layer below. But a GAN asks two different things of one and the same D:

    D's own step    takes a gradient *into* D's weights. Nobody asks for the slope at the picture.
    G's step        lets a gradient *through* D, to the picture. D's weights are not to hear of it.

So there are two methods. `accumulate(tape, dy)` adds to every dW, and `pull(tape, dy)` returns dx.
With one method for both, G's step would leave its wishes in D's gradients, and D's next step would
follow them.

It prints:

    D's step, accumulate: 2 of 3 layers are pulled
    G's step, pull:       3 of 3 layers are pulled, D's gradient is as it was: True
    scratchgan.layers.Sequential says the same: True
"""

import numpy as np

from scratchgan import layers


class Chain:
    """y = f_n(... f_2(f_1(x)))."""

    def __init__(self, *layers):
        self.layers, self.pulled = layers, 0

    def forward(self, x):
        tapes = []
        for layer in self.layers:
            x, tape = layer.forward(x)
            tapes.append(tape)
        return x, tapes  # the tape of a chain is the list of its layers' tapes

    def pull(self, tapes, dy):
        for layer, tape in zip(self.layers[::-1], tapes[::-1], strict=True):  # the last first
            dy, _ = layer.pull(tape, dy)  # chapter 8 is about what else `pull` returns
            self.pulled += 1
        return dy

    def accumulate(self, tapes, dy):
        for i in range(len(self.layers) - 1, -1, -1):
            self.layers[i].accumulate(tapes[i], dy)
            if i > 0:  # below the first layer there is only the picture
                dy, _ = self.layers[i].pull(tapes[i], dy)
                self.pulled += 1


rng = np.random.default_rng(0)
first, last = layers.Dense(784, 100, rng=rng), layers.Dense(100, 1, rng=rng)
net = layers.Sequential(first, layers.Tanh(), last).astype(np.float64)
D, params = Chain(*net.layers), net.params()
real, fake = rng.standard_normal((2, 64, 784))  # each (64, 784)
d_logits = rng.standard_normal((64, 1))

_, tapes = D.forward(real)
D.accumulate(tapes, d_logits)  # into D
into_D = [param.grad.copy() for param in params]
print(f"D's step, accumulate: {D.pulled} of 3 layers are pulled")

D.pulled = 0
_, tapes = D.forward(fake)
d_fake = D.pull(tapes, d_logits)  # (64, 784), through D: which way each pixel should go
same = all(np.array_equal(param.grad, grad) for param, grad in zip(params, into_D, strict=True))
print(f"G's step, pull:       {D.pulled} of 3 layers are pulled, D's gradient is as it was: {same}")

net.zero_grad()
net.accumulate(net.forward(real)[1], d_logits)
same = all(np.allclose(param.grad, grad) for param, grad in zip(params, into_D, strict=True))
same = same and np.allclose(net.pull(net.forward(fake)[1], d_logits)[0], d_fake)
print(f"scratchgan.layers.Sequential says the same: {same}")

# Exercises. The answers are in ANSWERS.md.
# 1. Line 47: write `if i >= 0`. What is computed in vain?
# 2. After line 66, add `D.accumulate(tapes, d_logits)`, as one `backward` would. What does D hear?
