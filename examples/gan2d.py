"""A GAN in the plane, where everything can be seen: the game of Goodfellow et al. 2014 on two-dimensional points.

The animation shows real points (orange), generated points (blue), D's opinion D(x) as the background, and the arrow
along which each generated point is pushed: minus the gradient of G's loss with respect to that point.

    python examples/gan2d.py                           # 20 seconds on two CPU cores: all 8 modes
    python examples/gan2d.py --latent 64 --lr 1e-3     # the same time: mode collapse, all samples in one mode

For a fixed D, G's best answer is the single point where D is highest (Metz et al. 2017, "Unrolled Generative
Adversarial Networks", section 2.3), and D sends it away again once it has learned that this point is fake. Whether G
spreads or moves as one depends on the networks: here it spreads with z of 2 numbers, and with z of 64 the cloud of
samples moves from mode to mode until it stays at one.
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, plots, training, xp
from scratchgan.data import mixtures
from scratchgan.errors import DataError
from scratchgan.layers import Dense, LeakyReLU, ReLU, Sequential
from scratchgan.layers.pointwise import sigmoid
from scratchgan.metrics.modes import coverage
from scratchgan.optim import EMA, Adam
from scratchgan.training import option

SETS = ("ring", "grid", "swiss_roll", "two_moons", "checkerboard")


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
    """G: 2-128-128-2, D: 2-128-128-1, non-saturating loss; samples come from the average of G's weights."""

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
        self.G_average = EMA(self.G, 0.999)  # G and D circle around the solution; the average is nearer to it

    @staticmethod
    def load_data(settings):
        return mixture(settings.data).sample(50_000, np.random.default_rng(settings.seed))  # (N, 2)

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z)))
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G ascends log D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        loss, d_fake = self.push(fake)
        self.G.backward(G_tape, d_fake)
        self.opt_G.step()
        self.G_average.update()
        return loss

    def push(self, fake):
        """Return G's loss and its gradient at each generated point: G moves the points against it."""
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(logits)
        return loss, self.D.backward(D_tape, d_logits, grads=False)

    def generate(self, z):
        return self.G_average.net(z)

    def picture(self, z):
        real = self.mixture()
        fake = self.generate(z)
        return plots.plane(
            real.sample(1000, np.random.default_rng(1)), xp.to_host(fake), arrows=-xp.to_host(self.push(fake)[1]),
            surface=lambda x: xp.to_host(sigmoid(self.D(xp.to_device(x)))), bounds=real.bounds,
            title=", ".join(f"{name} {value:.3g}" for name, value in self.report().items()),
        )  # fmt: skip

    def mixture(self):
        return mixture(self.settings.data)

    def report(self):
        real = self.mixture()
        if real.centers is None:
            return {}
        fake = self.generate(xp.to_device(self.latent(2500, np.random.default_rng(0))))
        found = coverage(xp.to_host(fake), real.centers, real.std)
        return {"modes covered": found.covered, "high-quality share": found.high_quality}


def mixture(name):
    """Return the density that `--data` names."""
    if name == "ring":
        return mixtures.ring()
    if name == "grid":
        return mixtures.grid()
    if name == "swiss_roll":
        return mixtures.swiss_roll()
    if name == "two_moons":
        return mixtures.two_moons()
    if name == "checkerboard":
        return mixtures.Checkerboard()
    raise DataError(f"--data {name} is unknown: choose from {', '.join(SETS)}")


if __name__ == "__main__":
    training.main(GAN2D, Settings)
