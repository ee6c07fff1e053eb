"""Chapter 0: a GAN on numbers, by hand, with NumPy alone.

Real numbers come from N(3, 0.5^2). The generator G sees only noise z ~ N(0, 1), and makes x = a z +
c of it. The discriminator D sees a number, and says how real it looks: a logit s, which is above 0
for "real".

    G(z) = a z + c              D(x) = sigmoid(s),  s = h . W2 + b2,  h = tanh(W1 x + b1)

D goes up on log D(x) + log(1 - D(G(z))), and G on log D(G(z)). Two slopes are to be known by heart:

    -log D(x)        has the slope  ds = sigmoid(s) - 1      at s
    -log(1 - D(x))   has the slope  ds = sigmoid(s) - 0

From ds the chain rule goes back. In D's step it ends in D's weights. In G's step it goes
*through* D to x, and from there into G.

It prints:

    step    0: G makes numbers around 0.0, with a spread of 1.00
    step  300: G makes numbers around 3.0, with a spread of 0.25
    step  600: G makes numbers around 2.9, with a spread of 0.11
    step  900: G makes numbers around 2.9, with a spread of 0.11
    step 1200: G makes numbers around 2.8, with a spread of 0.12

The mean is found: about 3. The spread is not: 0.12 in place of 0.5. G makes nearly one number, the
one that D finds most real today. That is mode collapse, and it is on page one because no GAN is
free of it. Chapter 8 has a cure.
"""

import numpy as np

rng = np.random.default_rng(0)
N = 64  # numbers in a batch
a, c = 1.0, 0.0  # G
W1, b1 = rng.standard_normal(8), rng.standard_normal(8)  # D, (8,)
W2, b2 = rng.standard_normal(8) / np.sqrt(8), 0.0  # (8,)


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def judge(x):
    h = np.tanh(np.outer(x, W1) + b1)  # (N, 8)
    return h @ W2 + b2, h  # s, (N,), and what the way back needs


for step in range(1201):
    if step % 300 == 0:
        print(f"step {step:4}: G makes numbers around {c:.1f}, with a spread of {abs(a):.2f}")

    # D's step: up on log D(x) + log(1 - D(G(z)))
    x, z = 3 + 0.5 * rng.standard_normal(N), rng.standard_normal(N)  # (N,)
    dW1, db1, dW2, db2 = 0, 0, 0, 0
    for sample, target in ((x, 1), (a * z + c, 0)):
        s, h = judge(sample)
        ds = (sigmoid(s) - target) / N  # (N,)
        dW2, db2 = dW2 + h.T @ ds, db2 + ds.sum()
        dh = np.outer(ds, W2) * (1 - h**2)  # (N, 8), before the tanh
        dW1, db1 = dW1 + dh.T @ sample, db1 + dh.sum(0)
    W1, b1, W2, b2 = W1 - 0.1 * dW1, b1 - 0.1 * db1, W2 - 0.1 * dW2, b2 - 0.1 * db2

    # G's step: up on log D(G(z))
    z = rng.standard_normal(N)
    s, h = judge(a * z + c)
    ds = (sigmoid(s) - 1) / N
    dx = (np.outer(ds, W2) * (1 - h**2)) @ W1  # (N,), through D
    a, c = a - 0.05 * (dx @ z), c - 0.05 * dx.sum()  # into G

# Exercises. The answers are in ANSWERS.md.
# 1. Line 66: give G the slope of a fake, `sigmoid(s) - 0`. Where do its numbers go?
# 2. Line 48: train for 3001 steps. Does the spread come back, and does it stay?
