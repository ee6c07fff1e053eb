"""A GAN with R1 in the plane, measured as its relatives are: by the probability of each cell.

    D ascends  log D(x) + log(1 - D(G(z))) - gamma / 2 |grad s(x)|^2,  D = sigmoid(s)
    G ascends  log D(G(z))                       (Goodfellow et al. 2014; Mescheder et al. 2018)

It is the only one here that nobody tells how probable anything is: it has no likelihood, and is
measured by a million samples. It hears of the data by what D says of them, of nothing else.

    python examples/relatives/gan_cells.py
    python examples/relatives/gan_cells.py evaluate runs/gan_cells
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, penalties, training, xp
from scratchgan.data import cells
from scratchgan.layers import Dense, LeakyReLU, ReLU, Sequential
from scratchgan.metrics import cells as metrics
from scratchgan.metrics.modes import coverage
from scratchgan.optim import EMA, Adam
from scratchgan.training import option

PIECE = 50_000  # samples that are drawn at once
QUICKLY = 100_000  # samples by which q is told while it is trained


@dataclass
class Settings(training.Settings):
    """G is the slower one: at D's rate it puts the middle of each mode before all else."""

    steps: int = option(8000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(256, "real points in a training step", minimum=1)
    lr: float = option(3e-4, "learning rate of G", minimum=1e-12)
    lr_D: float = option(1e-3, "learning rate of D", minimum=1e-12)
    data: str = option("ring", "the real points", choices=("ring",))
    latent: int = option(8, "length of the latent vector z", minimum=1)
    width: int = option(128, "features of each hidden layer", minimum=1)
    gamma: float = option(0.1, "weight of the R1 penalty", minimum=0)
    average: float = option(0.999, "decay of G's averaged weights", minimum=0, maximum=0.99999)


class CellsGAN(training.Sequences):
    """G: 8-128-128-2, D: 2-128-128-1; samples of an average of G."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G = perceptron(settings.latent, 2, ReLU(), settings, rng)
        self.D = perceptron(2, 1, LeakyReLU(0.2), settings, rng)
        self.opt_G = Adam(self.G.params(), settings.lr)
        self.opt_D = Adam(self.D.params(), settings.lr_D)
        self.G_average = EMA(self.G, settings.average)

    @staticmethod
    def load_data(settings):
        return cells.load(settings.seed)  # (N, 2)

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z))) - gamma / 2 |grad s(x)|^2
        fake, _ = self.G.forward(self.noise(len(real)))
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        penalty = penalties.r1(self.D, real, weight=self.settings.gamma)  # into D, too
        self.opt_D.step()
        return loss, penalty

    def generator_step(self, n):
        # G ascends log D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(logits)
        d_fake, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def equilibrium(self):
        return {"D": 2 * np.log(2), "G": np.log(2)}  # D(x) = 1/2 everywhere

    def generate(self, z):
        return self.G_average.net(z)

    def q(self, n=metrics.SAMPLES):
        """Return the share of each cell among n samples: nobody knows its probability."""
        rng = np.random.default_rng([self.settings.seed, n])
        draw = lambda k: xp.to_host(self.generate(xp.to_device(self.latent(k, rng))))
        parts = [cells.numbers(draw(min(PIECE, n - i))) for i in range(0, n, PIECE)]
        return metrics.counted(np.concatenate(parts))

    def picture(self, z):
        """Draw the true p, q, and the samples of z."""
        samples = metrics.counted(cells.numbers(xp.to_host(self.generate(z))), 0)
        return metrics.picture(self.q(QUICKLY), samples)

    def walk(self, z, steps):
        return self.picture(z)

    def report(self):
        return metrics.compare(self.q(QUICKLY))

    def looked_at(self, n):
        return f"{metrics.SAMPLES:,} samples"

    def measured(self, n):
        """Return the distances of a million samples, and how many of the modes have samples."""
        z = self.latent(2500, np.random.default_rng(self.settings.seed))
        points, ring = xp.to_host(self.generate(xp.to_device(z))), cells.density()
        found = coverage(points, ring.centers, ring.std).covered
        return metrics.compare(self.q()) | {"modes, of 8": found}

    def baselines(self, n):
        return metrics.baselines(self.settings.seed)


def perceptron(inputs, outputs, activation, settings, rng):
    return Sequential(
        Dense(inputs, settings.width, rng=rng), activation,
        Dense(settings.width, settings.width, rng=rng), activation,
        Dense(settings.width, outputs, rng=rng),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(CellsGAN, Settings)
