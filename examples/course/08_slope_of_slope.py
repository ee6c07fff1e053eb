"""Chapter 8: the slope of a slope, and a cure for chapter 0.

WGAN-GP asks of D that its slope at x, g = dD/dx, has the length 1, and adds P = (|g| - 1)^2 to the
loss. To descend on P, one must know how g moves with the weights. Let D(x) = w2 h, h = tanh(w1 x):

    g      = w2 (1 - h^2) w1
    dg/dw1 = w2 (1 - h^2)  +  w2 w1 (-2 h (1 - h^2)) x

First, w1 is a factor in g. Then it also moves h, and with h the slope of the tanh: a tanh *bends*.
In a network, `pull` returns g, and what it used, `kept`. `double_backward` takes v = dP/dg up, from
x to the score, for the first terms, and then the bends down again, for the second ones.

It prints:

    dg/dw1 by hand:            1.1932 + -1.1368 = 0.0564
    dg/dw1 by double_backward: 0.0564
    five lines by hand are penalties.wgan_gp: True
    step    0: G makes numbers around 0, with a spread of 0.0
    step  500: G makes numbers around 3, with a spread of 0.5
    step 1000: G makes numbers around 3, with a spread of 0.5
"""

import numpy as np

from scratchgan import layers, losses, optim, penalties

rng = np.random.default_rng(0)
w1, w2, x = 1.5, 2.0, 0.5
h = np.tanh(w1 * x)
factor, bend = w2 * (1 - h**2), w2 * w1 * (-2 * h * (1 - h**2)) * x
print(f"dg/dw1 by hand:            {factor:.4f} + {bend:.4f} = {factor + bend:.4f}")

D = layers.Sequential(layers.Dense(1, 1, rng=rng), layers.Tanh(), layers.Dense(1, 1, rng=rng))
D.astype(np.float64)
D.layers[0].W.value[...], D.layers[2].W.value[...] = w1, w2
score, tape = D.forward(np.array([[x]]))
g, kept = D.pull(tape, np.ones_like(score))
D.double_backward(tape, kept, np.ones_like(g))  # v = 1: the gradient of g itself
print(f"dg/dw1 by double_backward: {D.layers[0].W.grad[0, 0]:.4f}")


def penalty_by_hand(D, x, weight):
    score, tape = D.forward(x)
    g, kept = D.pull(tape, np.ones_like(score))  # (N, 1), the slope at each x
    length = np.sqrt((g * g).sum(1, keepdims=True))
    D.double_backward(tape, kept, weight * 2 * (length - 1) * g / length / len(x))  # v = dP/dg
    return weight * ((length - 1) ** 2).mean()


D = layers.Sequential(layers.Dense(1, 32, rng=rng), layers.Tanh(), layers.Dense(32, 1, rng=rng))
D.astype(np.float64)
x, fake = 3 + 0.5 * rng.standard_normal((64, 1)), rng.standard_normal((64, 1))
t = np.random.default_rng(1).random((64, 1))  # where between x and fake the slope is taken
value, grad = penalty_by_hand(D, t * x + (1 - t) * fake, weight=10), D.layers[0].W.grad.copy()
D.zero_grad()
same = np.isclose(value, penalties.wgan_gp(D, x, fake, rng=np.random.default_rng(1), weight=10))
print(f"five lines by hand are penalties.wgan_gp: {same and np.allclose(D.layers[0].W.grad, grad)}")

G = layers.Dense(1, 1, rng=rng).astype(np.float64)  # a z + c, as in chapter 0; a is near 0 at first
opt_D, opt_G = optim.Adam(D.params(), lr=0.02, betas=(0, 0.9)), optim.SGD(G.params(), lr=0.01)
for step in range(1001):
    if step % 500 == 0:
        a, c = G.W.value.item(), G.b.value.item()
        print(f"step {step:4}: G makes numbers around {c:.0f}, with a spread of {abs(a):.1f}")
    for _ in range(5):  # D descends D(G(z)) - D(x) + P
        x, fake = 3 + 0.5 * rng.standard_normal((64, 1)), G(rng.standard_normal((64, 1)))
        (real_score, real_tape), (fake_score, fake_tape) = D.forward(x), D.forward(fake)
        _, d_real, d_fake = losses.wasserstein_discriminator(real_score, fake_score)
        D.accumulate(real_tape, d_real)
        D.accumulate(fake_tape, d_fake)
        penalties.wgan_gp(D, x, fake, rng=rng, weight=0.1)
        opt_D.step()
    fake, G_tape = G.forward(rng.standard_normal((64, 1)))  # G ascends D(G(z))
    score, D_tape = D.forward(fake)
    G.accumulate(G_tape, D.pull(D_tape, losses.wasserstein_generator(score)[1])[0])
    opt_G.step()

# Exercises. The answers are in ANSWERS.md.
# 1. Line 33: put `layers.ReLU()` in place of `layers.Tanh()`. What is left of dg/dw1?
# 2. Line 71: take weight=10, as the paper does. Where is G at step 500, and what is it waiting for?
