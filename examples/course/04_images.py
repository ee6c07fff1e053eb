"""Chapter 4: the game on images.

The loop of chapter 0, with layers in place of formulas, and pictures in place of numbers:

    G   z (64 numbers)       -> 128 -> 784 pixels from -1 to 1, as tanh gives them
    D   784 pixels           -> 128 -> one logit s, above 0 for "real"

The losses return a value and its slope at each logit: the `ds` of chapter 0. `Adam` moves the
weights against their gradients and clears them. Between the two are chapters 1 and 3: `forward`,
`accumulate` into, `pull` through.

The data are glyphs, digits that the library draws from fonts: there is nothing to download. The run
takes 20 seconds on one core, and with `--steps 100` one second. It prints:

    step   10: D's loss 0.59, G's loss 1.52
    step   50: D's loss 0.54, G's loss 1.74
    step  100: D's loss 0.39, G's loss 2.20
    step  100: 04_images.png shows 64 samples of G
    step 2000: 04_images.png shows 64 samples of G
    step 4000: 04_images.png shows 64 samples of G
    step 6000: 04_images.png shows 64 samples of G
    step 8000: 04_images.png shows 64 samples of G

At the end most samples can be read as digits, with specks around them: no pixel knows its
neighbours. Chapter 5 changes that. The appendix, tests/test_longhand.py, is twenty steps of this
loop, once as here and once longhand, one product at a time, with nothing of the library. The losses
agree to nine digits.
"""

import argparse

import numpy as np

from scratchgan import data, losses, plots
from scratchgan.layers import Dense, Flatten, LeakyReLU, ReLU, Reshape, Sequential, Tanh
from scratchgan.optim import Adam

options = argparse.ArgumentParser()
options.add_argument("--steps", type=int, default=8000)
steps = options.parse_args().steps

rng = np.random.default_rng(0)
G = Sequential(
    Dense(64, 128, rng=rng), ReLU(), Dense(128, 784, rng=rng), Tanh(), Reshape(28, 28, 1),
)  # fmt: skip
D = Sequential(Flatten(), Dense(784, 128, rng=rng), LeakyReLU(0.2), Dense(128, 1, rng=rng))
opt_G, opt_D = Adam(G.params(), lr=5e-4), Adam(D.params(), lr=5e-4)
batches = data.Batches(data.glyphs.load(10_000).images, batch_size=64, rng=rng)
noise = lambda n: rng.standard_normal((n, 64), dtype=np.float32)
z = noise(64)  # for the pictures, always the same

for step in range(1, steps + 1):
    # D ascends log D(x) + log(1 - D(G(z)))
    real = data.to_signed(batches.next())  # (64, 28, 28, 1)
    fake, _ = G.forward(noise(64))  # (64, 28, 28, 1)
    real_logits, real_tape = D.forward(real)  # (64, 1)
    fake_logits, fake_tape = D.forward(fake)  # (64, 1)
    D_loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
    D.accumulate(real_tape, d_real)
    D.accumulate(fake_tape, d_fake)  # gradients add up
    opt_D.step()

    # G ascends log D(G(z))
    fake, G_tape = G.forward(noise(64))
    logits, D_tape = D.forward(fake)
    G_loss, d_logits = losses.nonsaturating_generator(logits)
    d_fake, _ = D.pull(D_tape, d_logits)  # (64, 28, 28, 1), through D, not into D
    G.accumulate(G_tape, d_fake)
    opt_G.step()
    if step in (10, 50, 100):
        print(f"step {step:4}: D's loss {D_loss:.2f}, G's loss {G_loss:.2f}")
    if step == 100 or step % 2000 == 0:
        plots.save(plots.grid(data.to_bytes(G(z))), "04_images.png")
        print(f"step {step:4}: 04_images.png shows 64 samples of G")

# Exercises. The answers are in ANSWERS.md.
# 1. Line 67: write `d_fake = D.backward(D_tape, d_logits)`. How well does D do at step 100?
# 2. Line 66: take `losses.minimax_generator`, equation 1 of the paper. What is left of G's slope?
