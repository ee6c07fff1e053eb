"""WGAN-GP in the plane, where the critic can be seen (Gulrajani et al. 2017, section 3.1, figure 1a).

The same game as in wgan_gp.py with the paper's networks for toy data: three hidden layers of 512 ReLUs each. The
picture shows real points (orange), generated ones (blue) and the level sets of the critic. Those of a clipped critic
are too simple, and lead G astray; these follow the data.

    python examples/wgan_gp2d.py                            # 25 Gaussians on a grid
    python examples/wgan_gp2d.py --data swiss_roll
    python examples/wgan_gp2d.py --clip 0.01                # clipped weights in place of the penalty, as in WGAN
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, penalties, plots, training, xp
from scratchgan.data import mixtures
from scratchgan.layers import Dense, ReLU, Sequential
from scratchgan.metrics.modes import coverage
from scratchgan.metrics.wasserstein import sliced
from scratchgan.optim import EMA, Adam
from scratchgan.param import clip
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """5 critic steps as in algorithm 1 of the paper; Adam's betas and lambda as in the authors' code for toy data."""

    steps: int = option(5000, "training steps: one is critic-steps steps of D and a step of G", minimum=1)
    batch_size: int = option(256, "real points in a step of the critic", minimum=1)
    lr: float = option(1e-4, "learning rate", minimum=1e-12)
    data: str = option("grid", "the real points", choices=("ring", "grid", "swiss_roll"))
    critic_steps: int = option(5, "steps of the critic for a step of G", minimum=1)
    penalty: float = option(0.1, "weight of the gradient penalty, the paper's lambda", minimum=0)
    clip: float = option(0.0, "largest weight of the critic, in place of the penalty; 0: the penalty", minimum=0)
    average: float = option(0.999, "decay of the average of G's weights to sample from", minimum=0, maximum=0.99999)
    latent: int = option(2, "length of the latent vector z", minimum=1)
    width: int = option(512, "features of each hidden layer", minimum=1)
    sample_every: int = option(500, "steps from one frame of the animation to the next", minimum=1)


class WGANGP2D(training.Model):
    """G: 2-512-512-512-2, D: 2-512-512-512-1."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G = perceptron(settings.latent, settings.width, 2, rng)
        self.D = perceptron(2, settings.width, 1, rng)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.9))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.9))
        self.G_average = EMA(self.G, settings.average)

    @staticmethod
    def load_data(settings):
        return mixture(settings.data).sample(100_000, np.random.default_rng(settings.seed))  # (N, 2)

    def step(self, batches):
        for _ in range(self.settings.critic_steps):
            real = xp.to_device(batches.next())  # (N, 2)
            D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D descends D(G(z)) - D(x) + lambda (|grad D(xhat)| - 1)^2; without the penalty, minus its estimate of W
        fake = self.G.forward(self.noise(len(real)))[0]
        real_score, real_tape = self.D.forward(real)
        fake_score, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.wasserstein_discriminator(real_score, fake_score)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        penalty = xp.zeros(())
        if not self.settings.clip:
            penalty = penalties.wgan_gp(self.D, real, fake, rng=self.rng, weight=self.settings.penalty)
        self.opt_D.step()
        if self.settings.clip:
            clip(self.D, self.settings.clip)
        return loss, penalty

    def generator_step(self, n):
        # G ascends D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        score, D_tape = self.D.forward(fake)
        loss, d_score = losses.wasserstein_generator(score)
        self.G.backward(G_tape, self.D.backward(D_tape, d_score, grads=False))
        self.opt_G.step()
        self.G_average.update()
        return loss

    def generate(self, z):
        return self.G_average.net(z)

    def picture(self, z):
        real = self.mixture()
        return plots.plane(
            real.sample(1000, np.random.default_rng(1)), xp.to_host(self.generate(z)), bounds=real.bounds,
            surface=lambda x: xp.to_host(self.D(xp.to_device(x))), levels=20,
            title=", ".join(f"{name} {value:.3g}" for name, value in self.report().items()),
        )  # fmt: skip

    def mixture(self):
        return mixture(self.settings.data)

    def report(self):
        real = self.mixture()
        rng = np.random.default_rng(0)
        fake = xp.to_host(self.generate(xp.to_device(self.latent(2500, rng))))
        found = {"sliced distance": sliced(real.sample(2500, rng), fake, rng=rng)}
        if real.centers is not None:
            modes = coverage(fake, real.centers, real.std)
            found |= {"modes covered": modes.covered, "high-quality share": modes.high_quality}
        return found


def perceptron(inputs, width, outputs, rng):
    """Three hidden layers of ReLUs."""
    return Sequential(
        Dense(inputs, width, rng=rng), ReLU(),
        Dense(width, width, rng=rng), ReLU(),
        Dense(width, width, rng=rng), ReLU(),
        Dense(width, outputs, rng=rng),
    )  # fmt: skip


def mixture(name):
    """Return the density that `--data` names."""
    return {"ring": mixtures.ring, "grid": mixtures.grid, "swiss_roll": mixtures.swiss_roll}[name]()


if __name__ == "__main__":
    training.main(WGANGP2D, Settings)
