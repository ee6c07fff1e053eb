"""MADE: twelve bits, each told only the bits before it (Germain et al. 2015, "MADE").

    it descends  -E log q(x),  log q(x) = sum over d of log q(x_d | x_1, ..., x_d-1)

That is all of log q, and no bound. One network gives all twelve terms in one pass, as weights by
which an output would hear too much are 0: hidden unit k has a number m(k), it hears bits d with
d <= m(k), and output d hears units with m(k) < d. To draw a cell, the network is asked twelve
times. With --network lstm it hears one bit after the other, and remembers what it likes.

    python examples/relatives/made.py
    python examples/relatives/made.py --network lstm --width 48
    python examples/relatives/made.py evaluate runs/made
"""

import copy
from dataclasses import dataclass

import numpy as np

from scratchgan import losses, training, xp
from scratchgan.data import cells
from scratchgan.layers import LSTM, Dense, Recurrent, ReLU, Reshape, Sequential
from scratchgan.layers.functions import sigmoid, softplus
from scratchgan.metrics import cells as metrics
from scratchgan.optim import Adam
from scratchgan.training import option
from scratchgan.weights import Masked

BITS = cells.BITS
LATE = 3000  # steps after which the learning rate is a sixth


@dataclass
class Settings(training.Settings):
    steps: int = option(4000, "training steps", minimum=1)
    batch_size: int = option(256, "cells in a training step", minimum=1)
    lr: float = option(3e-3, "learning rate, a sixth of it after 3,000 steps", minimum=1e-12)
    data: str = option("ring", "what the cells are of", choices=("ring",))
    network: str = option("made", "what gives the twelve terms", choices=("made", "lstm"))
    width: int = option(132, "units of a hidden layer, or numbers in h", minimum=1)


class MADE(training.Sequences):
    """A network: bits (N, 12) to a logit of each, (N, 12), that knows the bits before it."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        build = lstm if settings.network == "lstm" else made
        self.net = build(settings.width, rng)
        lr = lambda steps: settings.lr / (6 if steps >= LATE else 1)
        self.optimizer = Adam(self.net.params(), lr, betas=(0.9, 0.999))

    @staticmethod
    def load_data(settings):
        return cells.bits(cells.numbers(cells.load(settings.seed))).astype("float32")

    def step(self, batches):
        # net descends -E log q(x): of each x, the sum of twelve cross-entropies
        x = xp.to_device(batches.next())  # (N, 12)
        logits, tape = self.net.forward(self.heard(x))
        loss, d_logits = losses.binary_cross_entropy(logits, x)  # the mean over bits, too
        self.net.accumulate(tape, BITS * d_logits)
        self.optimizer.step()
        return {"-log q": BITS * loss}

    def heard(self, x):
        """Return what the network is given of bits x: -1 or 1; an LSTM, at each bit, the last."""
        signs = 2 * x - 1
        if self.settings.network == "made":
            return signs
        last = xp.concatenate([xp.zeros_like(signs[:, :1]), signs[:, :-1]], axis=1)
        return last[..., None]  # (N, 12, 1)

    def q(self):
        """Return the probability of each of the 4,096 cells, on the host, in float64."""
        x = xp.to_device(cells.bits(np.arange(cells.CELLS))).astype("float64")
        logits = copy.deepcopy(self.net).astype("float64")(self.heard(x))
        return xp.to_host(xp.exp(-softplus((1 - 2 * x) * logits).sum(axis=1)))

    def latent(self, n, rng):
        """Return a number from 0 to 1 for each bit, which chooses it."""
        return rng.random((n, BITS), dtype=np.float32)

    def generate(self, z):
        """Return bits (n, 12), each drawn after those before it."""
        x = xp.zeros_like(z)
        for d in range(BITS):
            p = sigmoid(self.net(self.heard(x))[:, d])  # of a 1, given x_1, ..., x_d-1
            x[:, d] = z[:, d] < p
        return x

    def picture(self, z):
        """Draw the true p, q, and the samples of z."""
        samples = metrics.counted(cells.from_bits(xp.to_host(self.generate(z))), 0)
        return metrics.picture(self.q(), samples)

    def report(self):
        return metrics.compare(self.q())

    def looked_at(self, n):
        return f"{cells.CELLS:,} cells"

    def measured(self, n):
        return metrics.compare(self.q())  # exactly: no sample is needed

    def baselines(self, n):
        return metrics.baselines(self.settings.seed)


def made(width, rng):
    """Bits (N, 12) -> two hidden layers -> logits (N, 12); output d hears bits before d."""
    bit = np.arange(BITS)
    m = np.arange(width) % (BITS - 1)  # the last bit that a hidden unit hears, 0 to 10
    return Sequential(
        masked(Dense(BITS, width, rng=rng), bit[:, None] <= m), ReLU(),
        masked(Dense(width, width, rng=rng), m[:, None] <= m), ReLU(),
        masked(Dense(width, BITS, rng=rng), m[:, None] < bit),
    )  # fmt: skip


def masked(layer, mask):
    """Return the layer, whose output j hears input i only where mask[i, j]."""
    layer.W = Masked(layer.W, mask)
    return layer


def lstm(width, rng):
    """The bit before each, (N, 12, 1), -> logits (N, 12)."""
    recurrent = Recurrent(LSTM(1, width, rng=rng), width, 2 * width)
    return Sequential(recurrent, Dense(width, 1, rng=rng), Reshape(BITS))


if __name__ == "__main__":
    training.main(MADE, Settings)
