"""Chapter 7: DCGAN (Radford, Metz & Chintala 2016).

The loop is that of chapter 4, line by line. The networks are new. G grows a picture by the
transposed convolutions of chapter 5, and D shrinks it by convolutions. Between them stand the batch
norms of chapter 6, but not next to the picture, whose mean and spread have a meaning.

    G   z (64) -> 7 x 7 x 32 -> 14 x 14 x 16 -> 28 x 28 x 1
    D   28 x 28 x 1 -> 14 x 14 x 16 -> 7 x 7 x 32 -> logit

Real and fake pictures go through D as two batches. In one batch, real ones would move the mean that
fakes are measured by. In G's step there are no real ones, and D would be another function.

It takes 20 to 45 seconds on one core, and with `--steps 20` one second. It prints:

    step   10: D's loss 0.77, G's loss 0.85
    step   20: D's loss 0.31, G's loss 2.02
    step   20: 07_dcgan.png shows 64 samples of G, (28, 28, 1) each
    step 1000: 07_dcgan.png shows 64 samples of G, (28, 28, 1) each
    step 2000: 07_dcgan.png shows 64 samples of G, (28, 28, 1) each

At the end the strokes are clean and the ground is black. Some samples are between two digits, or
are none. D has 10,129 weights here, 100,609 in chapter 4: a kernel of 4 x 4 is used all over the
picture.
"""

import argparse

import numpy as np

from scratchgan import data, layers, losses, plots
from scratchgan.initializers import normal
from scratchgan.optim import Adam

options = argparse.ArgumentParser()
options.add_argument("--steps", type=int, default=2000)
steps = options.parse_args().steps

rng = np.random.default_rng(0)
double = {"kernel": 4, "stride": 2, "padding": 1, "rng": rng, "initialize": normal}
G = layers.Sequential(
    layers.Dense(64, 7 * 7 * 32, rng=rng, initialize=normal), layers.Reshape(7, 7, 32),
    layers.BatchNorm(32), layers.ReLU(),
    layers.ConvTranspose2d(32, 16, **double), layers.BatchNorm(16), layers.ReLU(),
    layers.ConvTranspose2d(16, 1, **double), layers.Tanh(),
)  # fmt: skip
D = layers.Sequential(
    layers.Conv2d(1, 16, **double), layers.LeakyReLU(0.2),
    layers.Conv2d(16, 32, **double), layers.BatchNorm(32), layers.LeakyReLU(0.2),
    layers.Flatten(), layers.Dense(7 * 7 * 32, 1, rng=rng, initialize=normal),
)  # fmt: skip
opt_G, opt_D = Adam(G.params(), lr=5e-4), Adam(D.params(), lr=5e-4)
batches = data.Batches(data.glyphs.load(10_000).images, batch_size=32, rng=rng)
noise = lambda n: rng.standard_normal((n, 64), dtype=np.float32)
z = noise(64)  # for the pictures, always the same

for step in range(1, steps + 1):
    # D ascends log D(x) + log(1 - D(G(z)))
    real_logits, real_tape = D.forward(data.to_signed(batches.next()))  # (32, 28, 28, 1) -> (32, 1)
    fake_logits, fake_tape = D.forward(G.forward(noise(32))[0])
    D_loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
    D.accumulate(real_tape, d_real)
    D.accumulate(fake_tape, d_fake)
    opt_D.step()

    # G ascends log D(G(z))
    fake, G_tape = G.forward(noise(32))
    logits, D_tape = D.forward(fake)
    G_loss, d_logits = losses.nonsaturating_generator(logits)
    G.accumulate(G_tape, D.pull(D_tape, d_logits)[0])
    opt_G.step()
    if step in (10, 20):
        print(f"step {step:4}: D's loss {D_loss:.2f}, G's loss {G_loss:.2f}")
    if step == 20 or step % 1000 == 0:
        plots.save(plots.grid(data.to_bytes(G(z))), "07_dcgan.png")  # by the running statistics
        print(f"step {step:4}: 07_dcgan.png shows 64 samples of G, {fake.shape[1:]} each")

# Exercises. The answers are in ANSWERS.md.
# 1. Line 39: take a kernel of 3. How large are G's pictures, and why does D not mind?
# 2. Line 39: take a padding of 0. Who complains, and about what?
