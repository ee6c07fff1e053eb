"""Chapter 1: a layer and its tape.

A layer is a map y = f(x) with weights. Going back, it is given dy, the slope of the loss at y. It
owes dx, the slope at x, and the slopes at its weights. All follow from one rule: a small change of
y moves the loss by <dy, change of y>, with <p, q> the sum of p q over all elements. If x changes by
h, y = x W + b changes by h W. If W does, y changes by x h, and if b does, every row of y by h:

    <dy, h W> = <dy W^T, h>                      so  dx = dy W^T
    <dy, x h> = <x^T dy, h>                      so  dW = x^T dy
    <dy, h in each row> = <sum of dy, h>         so  db = the sum of dy over the batch

dW needs x. Where is x kept? Not on the layer: D sees two batches, real and fake, before it goes
back for either. So `forward` returns x beside y, the *tape* of this call, and `backward` takes it:

    what outlives a call lives on the layer (W, b, and their gradients, which add up);
    what belongs to one call is returned by that call (the tape).

It prints:

    Dense     dW is [-2. -3.], as of both batches in one: True
    Forgetful dW is [0. 0.], as of both batches in one: False
    scratchgan.layers.Dense says [-2. -3.]
"""

import numpy as np

from scratchgan import layers


class Dense:
    """y = x W + b."""

    def __init__(self, W, b):
        self.W, self.b = W, b  # (in, out), (out,)
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

    def forward(self, x):
        y = x @ self.W + self.b  # (N, out)
        return y, x  # x is the tape

    def backward(self, tape, dy):
        x = tape
        self.dW += x.T @ dy  # (in, out)
        self.db += dy.sum(0)  # (out,)
        return dy @ self.W.T  # dx, (N, in)


class Forgetful(Dense):
    """The same with x on the layer: the second forward overwrites what the first one kept."""

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b, None

    def backward(self, tape, dy):
        return super().backward(self.x, dy)


W, b = np.array([[1.0], [-1.0]]), np.zeros(1)
real, fake = np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]])  # (1, 2): batches of one sample
d_real, d_fake = np.array([[1.0]]), np.array([[-1.0]])  # (1, 1): the slopes at the two outputs
both = np.concatenate([real, fake]).T @ np.concatenate([d_real, d_fake])  # (2, 1)

for layer in (Dense(W, b), Forgetful(W, b)):
    _, real_tape = layer.forward(real)
    _, fake_tape = layer.forward(fake)
    layer.backward(real_tape, d_real)
    layer.backward(fake_tape, d_fake)  # gradients add up
    right = np.array_equal(layer.dW, both)
    print(f"{type(layer).__name__:9} dW is {layer.dW.ravel()}, as of both batches in one: {right}")

layer = layers.Dense(2, 1, rng=np.random.default_rng(0)).astype(np.float64)
(_, real_tape), (_, fake_tape) = layer.forward(real), layer.forward(fake)
layer.backward(real_tape, d_real)
layer.backward(fake_tape, d_fake)
print(f"scratchgan.layers.Dense says {layer.W.grad.ravel()}")

# Exercises. The answers are in ANSWERS.md.
# 1. Line 43: write `=` in place of `+=`. Which batch does Dense learn from now?
# 2. Line 42: write `x = np.ones_like(tape)`. What does dW know of the pictures now?
