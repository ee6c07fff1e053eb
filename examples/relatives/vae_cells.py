"""A VAE of cells: twelve bits that two numbers z explain (Kingma & Welling 2014).

    x ~ q(x | z), z ~ N(0, 1):  log q(x) >= E log q(x | z) - KL(r(z | x), N(0, 1)),  z ~ r(z | x)

Both networks ascend the right side. The decoder gives the logits of q(x | z), in which all bits are
independent; the encoder gives mean and log variance of r, its guess at which z made x. The bound
is too low by KL(r, q(z | x)): by as much as the guess is bad. With two numbers z, the integral over
z can be taken, and so q(x) is known here exactly, and the bound can be held against it.

    python examples/relatives/vae_cells.py
    python examples/relatives/vae_cells.py evaluate runs/vae_cells
"""

import copy
from dataclasses import dataclass

import numpy as np

from scratchgan import losses, training, xp
from scratchgan.data import cells
from scratchgan.layers import Dense, Fork, GaussianSample, ReLU, Sequential
from scratchgan.layers.functions import sigmoid
from scratchgan.metrics import cells as metrics
from scratchgan.optim import Adam
from scratchgan.training import option

BITS, LATENTS = cells.BITS, 2
LATE = 6000  # steps after which the learning rate is a seventh
NODES, REACH = 301, 6.0  # of the quadrature over each latent, from -REACH to REACH
FRESH = 100_000  # cells of which the bound is measured


@dataclass
class Settings(training.Settings):
    steps: int = option(8000, "training steps", minimum=1)
    batch_size: int = option(256, "cells in a training step", minimum=1)
    lr: float = option(2e-3, "learning rate, a seventh of it after 6,000 steps", minimum=1e-12)
    data: str = option("ring", "what the cells are of", choices=("ring",))
    width: int = option(64, "units of a hidden layer", minimum=1)


class VAE(training.Sequences):
    """Encoder: bits (N, 12) to (mean, log_var), (N, 2) each; decoder: z (N, 2) to 12 logits."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        width = settings.width
        heads = Fork(Dense(width, LATENTS, rng=rng), Dense(width, LATENTS, rng=rng))
        self.encoder = Sequential(
            Dense(BITS, width, rng=rng), ReLU(),
            Dense(width, width, rng=rng), ReLU(), heads,
        )  # fmt: skip
        self.sample = GaussianSample(rng=rng)
        self.decoder = Sequential(
            Dense(LATENTS, width, rng=rng), ReLU(), Dense(width, width, rng=rng), ReLU(),
            Dense(width, BITS, rng=rng),
        )  # fmt: skip
        lr = lambda steps: settings.lr / (7 if steps >= LATE else 1)
        params = self.encoder.params() + self.decoder.params()
        self.optimizer = Adam(params, lr, betas=(0.9, 0.999))

    @staticmethod
    def load_data(settings):
        return cells.bits(cells.numbers(cells.load(settings.seed))).astype("float32")

    def step(self, batches):
        # both descend -E log q(x | z) + KL(r(z | x), N(0, 1)), the sums over bits and latents
        x = xp.to_device(batches.next())  # (N, 12)
        (mean, log_var), encoder_tape = self.encoder.forward(2 * x - 1)
        z, sample_tape = self.sample.forward((mean, log_var))
        logits, decoder_tape = self.decoder.forward(z)
        loss, d_logits = losses.binary_cross_entropy(logits, x)  # the mean over bits, too
        kl, d_mean, d_log_var = losses.gaussian_kl(mean, log_var)
        dz = self.decoder.backward(decoder_tape, BITS * d_logits)  # into the decoder, and through
        (by_mean, by_log_var), _ = self.sample.pull(sample_tape, dz)
        self.encoder.accumulate(encoder_tape, (by_mean + d_mean, by_log_var + d_log_var))
        self.optimizer.step()
        return {"-log q(x|z)": BITS * loss, "KL": kl}

    def q(self):
        """Return the probability of each of the 4,096 cells, on the host, in float64.

        q(x) = integral of N(z; 0, 1) q(x | z) dz, over the nodes of a grid. Given z, the first six
        bits and the last six are independent, so that all cells are one product of two matrices.
        """
        axis = np.linspace(-REACH, REACH, NODES)
        z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, LATENTS)
        weight = np.exp(-0.5 * (z * z).sum(axis=1))
        decoder = copy.deepcopy(self.decoder).astype("float64")
        p = xp.to_host(sigmoid(decoder(xp.to_device(z))))  # of a 1: (nodes, 12)
        coarse, fine = of_words(p[:, : BITS // 2]), of_words(p[:, BITS // 2 :])  # (nodes, 64) each
        joint = coarse.T @ (fine * (weight / weight.sum())[:, None])  # of both words
        return joint.ravel()[cells.bits(np.arange(cells.CELLS)) @ 2 ** np.arange(BITS)[::-1]]

    def bound(self, x):
        """Return the bound on E log q(x), the mean over bits x (N, 12) and a draw of z for each."""
        x = xp.to_device(x).astype("float32")
        mean, log_var = self.encoder(2 * x - 1)
        z, _ = self.sample.forward((mean, log_var))
        loss, _ = losses.binary_cross_entropy(self.decoder(z), x)
        return -float(BITS * loss + losses.gaussian_kl(mean, log_var)[0])

    def latent(self, n, rng):
        return rng.standard_normal((n, LATENTS), dtype=np.float32)

    def generate(self, z):
        """Return bits (n, 12), each a draw of its own, given z."""
        u = np.random.default_rng([self.settings.seed, len(z)]).random((len(z), BITS))
        return (xp.to_device(u, z.dtype) < sigmoid(self.decoder(z))).astype(z.dtype)

    def picture(self, z):
        """Draw the true p, q, and the samples of z."""
        samples = metrics.counted(cells.from_bits(xp.to_host(self.generate(z))), 0)
        return metrics.picture(self.q(), samples)

    def walk(self, z, steps):
        return self.picture(z)

    def report(self):
        return metrics.compare(self.q())

    def looked_at(self, n):
        return f"{cells.CELLS:,} cells"

    def measured(self, n):
        """Return the distances, and of fresh cells what the bound says and what is so."""
        fresh = cells.numbers(cells.points(FRESH, np.random.default_rng(self.settings.seed)))
        q = self.q()
        told = {"-log q, bound": -self.bound(cells.bits(fresh)), "-log q": -np.log(q[fresh]).mean()}
        return metrics.compare(q) | told

    def baselines(self, n):
        return metrics.baselines(self.settings.seed)


def of_words(p):
    """Return the probability of each word of independent bits, 1 with p (n, bits): (n, 2^bits)."""
    words = np.ones((len(p), 1))
    for bit in p.T:
        both = np.stack([1 - bit, bit], axis=1)  # (n, 2)
        words = (words[:, :, None] * both[:, None]).reshape(len(p), -1)
    return words


if __name__ == "__main__":
    training.main(VAE, Settings)
