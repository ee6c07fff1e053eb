"""A GAN in the plane, where everything can be seen (the game of Goodfellow et al. 2014).

The animation shows real points (orange), generated points (blue), D's opinion D(x) as the
background, and the arrow along which each generated point is pushed: minus the gradient of G's loss
with respect to that point.

    python examples/gan2d.py                         # 20 seconds on 2 cores: all 8 modes
    python examples/gan2d.py --latent 64 --lr 1e-3   # mode collapse: all samples in one mode

For a fixed D, G's best answer is the single point where D is highest (Metz et al. 2017, "Unrolled
Generative Adversarial Networks", section 2.3), and D sends it away again once it has learned that
this point is fake. Whether G spreads or moves as one depends on the networks: here it spreads with
z of 2 numbers, and with z of 64 the cloud of samples moves from mode to mode until it stays at one.
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, plots, training, xp
from scratchgan.data import mixtures
from scratchgan.layers import Dense, LeakyReLU, ReLU, Sequential
from scratchgan.layers.functions import sigmoid
from scratchgan.metrics.modes import coverage
from scratchgan.optim import EMA, Adam
from scratchgan.training import option

MIXTURES = {
    "ring": mixtures.ring,
    "grid": mixtures.grid,
    "swiss_roll": mixtures.swiss_roll,
    "two_moons": mixtures.two_moons,
    "checkerboard": mixtures.Checkerboard,
}
SETS = tuple(MIXTURES)


@dataclass
class Settings(training.Settings):
    """With z of 2 numbers the ring is covered in about 5,000 steps."""

    steps: int = option(8000, "training steps", minimum=1)
    batch_size: int = option(256, "real points in a training step", minimum=1)
    lr: float = option(3e-4, "learning rate", minimum=1e-12)
    data: str = option("ring", "the real points", choices=SETS)
    latent: int = option(2, "length of the latent vector z; with 64 it collapses", minimum=1)
    sample_every: int = option(200, "steps from one frame of the animation to the next", minimum=1)


class GAN2D(training.Model):
    """G: 2-128-128-2, D: 2-128-128-1, non-saturating loss; samples of an average of G."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G = Sequential(
            Dense(settings.latent, 128, rng=rng), ReLU(),
            Dense(128, 128, rng=rng), ReLU(),
            Dense(128, 2, rng=rng),
        )  # fmt: skip
        self.D = Sequential(
            Dense(2, 128, rng=rng), LeakyReLU(0.2),
            Dense(128, 128, rng=rng), LeakyReLU(0.2),
            Dense(128, 1, rng=rng),
        )  # fmt: skip
        self.opt_G = Adam(self.G.params(), settings.lr)
        self.opt_D = Adam(self.D.params(), settings.lr)
        self.G_average = EMA(self.G, 0.999)  # they circle; the average is nearer

    @staticmethod
    def load_data(settings):
        return mixture(settings.data).sample(50_000, np.random.default_rng(settings.seed))  # (N, 2)

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z)))
        fake, _ = self.G.forward(self.noise(len(real)))
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G ascends log D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        loss, d_fake = self.push(fake)
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def push(self, fake):
        """Return G's loss and its gradient at each generated point: it moves against it."""
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(logits)
        d_fake, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        return loss, d_fake

    def equilibrium(self):
        return {"D": 2 * np.log(2), "G": np.log(2)}  # D(x) = 1/2 everywhere

    def generate(self, z):
        return self.G_average.net(z)

    def picture(self, z):
        real, fake = self.mixture(), self.generate(z)
        _, d_fake = self.push(fake)
        points = real.sample(1000, np.random.default_rng(1)), xp.to_host(fake)
        surface = lambda x: xp.to_host(sigmoid(self.D(xp.to_device(x))))
        title = ", ".join(f"{name} {value:.3g}" for name, value in self.report().items())
        arrows, bounds = -xp.to_host(d_fake), real.bounds
        return plots.plane(*points, arrows=arrows, surface=surface, bounds=bounds, title=title)

    def mixture(self):
        return mixture(self.settings.data)

    def report(self):
        fake = self.generate(xp.to_device(self.latent(2500, np.random.default_rng(0))))
        return count_modes(xp.to_host(fake), self.mixture())


def count_modes(points, real):
    """Return how many modes of a mixture the points cover, and the share that lies near one."""
    if real.centers is None:
        return {}
    modes = coverage(points, real.centers, real.std)
    return {"modes covered": modes.covered, "high-quality share": modes.high_quality}


def mixture(name):
    """Return the density that `--data` names."""
    return MIXTURES[name]()


if __name__ == "__main__":
    training.main(GAN2D, Settings)
