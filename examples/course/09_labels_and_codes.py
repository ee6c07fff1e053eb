"""Chapter 9: labels and codes.

The data are four clouds of points in the plane. Two ways to have a say in which cloud G draws from:

A **label** is told to both networks (conditional GAN, Mirza & Osindero 2014). The label travels
with x as a tuple, and so do their gradients: (dx, None), as a label has no slope. D asks "is x a
real y?"

A **code** is told to G alone, and nobody knows a label (InfoGAN, Chen et al. 2016). D has a second
output, Q, which guesses the code from x. G and Q are both paid for right guesses. So G must make
the code visible, and the cheapest way is one cloud for each code.

It prints:

    labels: 100% of G's points lie in the cloud asked for
    codes: 100% of G's points lie in the cloud of their code, 4 clouds in all
"""

import numpy as np

from scratchgan import losses
from scratchgan.layers import Conditional, Dense, Fork, LabelChannels, LeakyReLU, ReLU, Sequential
from scratchgan.optim import Adam

rng, N = np.random.default_rng(0), 64
clouds = 2 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)  # (4, 2)
noise = lambda n: rng.standard_normal((n, 2), dtype=np.float32)
nearest = lambda x: ((x[:, None] - clouds) ** 2).sum(2).argmin(1)  # which cloud, (n,)
adam = lambda net: Adam(net.params(), lr=1e-3)
tell = lambda: LabelChannels(4, 4, rng=rng)  # (x, y) -> x and four numbers for y, side by side

# A label: both networks are given pairs.
G = Conditional(tell(), Dense(6, 64, rng=rng), ReLU(), Dense(64, 2, rng=rng))
D = Conditional(tell(), Dense(6, 64, rng=rng), LeakyReLU(0.2), Dense(64, 1, rng=rng))
opt_G, opt_D = adam(G), adam(D)
for _ in range(2000):
    y = rng.integers(4, size=N)  # the labels of real points, and those that G is asked for
    real_logits, real_tape = D.forward((clouds[y] + 0.2 * noise(N), y))
    fake_logits, fake_tape = D.forward((G.forward((noise(N), y))[0], y))
    _, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
    D.accumulate(real_tape, d_real)
    D.accumulate(fake_tape, d_fake)
    opt_D.step()
    fake, G_tape = G.forward((noise(N), y))
    logits, D_tape = D.forward((fake, y))
    d_logits = losses.nonsaturating_generator(logits)[1]
    (d_fake, _), _ = D.pull(D_tape, d_logits)  # and None for the label
    G.accumulate(G_tape, d_fake)
    opt_G.step()
y = np.arange(1000) % 4
share = (nearest(G((noise(1000), y))) == y).mean()
print(f"labels: {share:.0%} of G's points lie in the cloud asked for")

# A code: D gives a pair, its logit and Q's guess.
G = Sequential(Dense(6, 64, rng=rng), ReLU(), Dense(64, 2, rng=rng))  # of [z, code], side by side
Q = Dense(64, 4, rng=rng)
D = Sequential(Dense(2, 64, rng=rng), LeakyReLU(0.2), Fork(Dense(64, 1, rng=rng), Q))
opt_G, opt_D = adam(G), adam(D)
coded = lambda c: np.concatenate([noise(len(c)), np.eye(4, dtype=np.float32)[c]], axis=1)  # (n, 6)
for _ in range(2000):
    c = rng.integers(4, size=N)
    (real_logits, _), real_tape = D.forward(clouds[rng.integers(4, size=N)] + 0.2 * noise(N))
    (fake_logits, guess), fake_tape = D.forward(G.forward(coded(c))[0])
    _, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
    D.accumulate(real_tape, (d_real, None))  # nobody knows the codes of real points
    D.accumulate(fake_tape, (d_fake, losses.categorical_information(guess, c)[1]))
    opt_D.step()
    fake, G_tape = G.forward(coded(c))
    (logits, guess), D_tape = D.forward(fake)
    d_guess = losses.categorical_information(guess, c)[1]
    d_fake, _ = D.pull(D_tape, (losses.nonsaturating_generator(logits)[1], d_guess))
    G.accumulate(G_tape, d_fake)
    opt_G.step()
table = [np.bincount(nearest(G(coded(np.full(250, c)))), minlength=4) for c in range(4)]  # (4, 4)
share, different = np.max(table, axis=1).sum() / 1000, len(set(np.argmax(table, axis=1)))
print(f"codes: {share:.0%} of G's points lie in the cloud of their code, {different} clouds in all")

# Exercises. The answers are in ANSWERS.md.
# 1. Line 38: mistake the labels of real points, `clouds[(y + 1) % 4]`. What does G draw?
# 2. Line 70: write `d_guess = None`, so that G is not paid for codes. What do they say then?
