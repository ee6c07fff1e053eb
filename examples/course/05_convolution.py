"""Chapter 5: convolution, its adjoint, and the transposed one.

A convolution is a dense layer on windows. The same small W looks at each window of a picture x,
(H, H, C), so that what is learned in one place is known in all. With stride s, for a pixel of y:

    y[i, j] = sum over u, v of  x[s i + u, s j + v] W[u, v]         W (k, k, C, O), y (I, I, O)

Read it as a list of wires: W[u, v] joins pixel (s i + u, s j + v) of x to pixel (i, j) of y. A
gradient runs along the same wires the other way, so the three maps below loop over the same
indices. `input_grad` is the adjoint of `apply`: <dy, apply(W, x)> = <input_grad(W, dy), x>.

`input_grad` makes a large picture of a small one. Taken as a *forward*, it is the transposed
convolution, the layer by which a generator grows a picture. Its own backward is `apply`.

It prints:

    apply makes (3, 3, 4) of (7, 7, 2), input_grad (7, 7, 2) of it
    <dy, apply(W, x)> = <input_grad(W, dy), x>: True
    <dy, apply(W, x)> = <weight_grad(x, dy), W>: True
    Conv2d is apply: True
      its dx is input_grad: True
      its dW is weight_grad: True
    ConvTranspose2d is input_grad: True
      its dx is apply: True
"""

import numpy as np

from scratchgan.layers import Conv2d, ConvTranspose2d

s, k, H, C, O = 2, 3, 7, 2, 4  # stride, kernel, side of x, channels in and out
I = (H - k) // s + 1  # side of y


def apply(W, x):
    y = np.zeros((I, I, O))
    for i, j, u, v in np.ndindex(I, I, k, k):
        y[i, j] += x[s * i + u, s * j + v] @ W[u, v]
    return y


def input_grad(W, dy):
    dx = np.zeros((H, H, C))
    for i, j, u, v in np.ndindex(I, I, k, k):
        dx[s * i + u, s * j + v] += W[u, v] @ dy[i, j]
    return dx


def weight_grad(x, dy):
    dW = np.zeros((k, k, C, O))
    for i, j, u, v in np.ndindex(I, I, k, k):
        dW[u, v] += np.outer(x[s * i + u, s * j + v], dy[i, j])
    return dW


same, rng = np.allclose, np.random.default_rng(0)
x, W, dy = (rng.standard_normal(shape) for shape in ((H, H, C), (k, k, C, O), (I, I, O)))
print(f"apply makes {apply(W, x).shape} of {x.shape}, input_grad {input_grad(W, dy).shape} of it")
inner = (dy * apply(W, x)).sum()  # <dy, A x>
print("<dy, apply(W, x)> = <input_grad(W, dy), x>:", same(inner, (input_grad(W, dy) * x).sum()))
print("<dy, apply(W, x)> = <weight_grad(x, dy), W>:", same(inner, (weight_grad(x, dy) * W).sum()))

conv = Conv2d(C, O, k, stride=s, rng=rng).astype(np.float64)
conv.W.value[...] = W
y, tape = conv.forward(x[None])  # a batch of one
dx = conv.backward(tape, dy[None])
print("Conv2d is apply:", same(y[0], apply(W, x)))
print("  its dx is input_grad:", same(dx[0], input_grad(W, dy)))
print("  its dW is weight_grad:", same(conv.W.grad, weight_grad(x, dy)))

grow = ConvTranspose2d(O, C, k, stride=s, rng=rng).astype(np.float64)
grow.W.value[...] = W  # the weight of the convolution that it is the adjoint of
y, tape = grow.forward(dy[None])
dx, _ = grow.pull(tape, x[None])
print("ConvTranspose2d is input_grad:", same(y[0], input_grad(W, dy)))
print("  its dx is apply:", same(dx[0], apply(W, x)))

# Exercises. The answers are in ANSWERS.md.
# 1. Line 45: write `W[k - 1 - u, k - 1 - v]`, the kernel turned by half a turn. Who disagrees?
# 2. Line 31: take H = 8. What does ConvTranspose2d say, and what can it not know?
