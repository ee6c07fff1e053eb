"""WGAN-GP in the plane, where the critic can be seen (Gulrajani et al. 2017, figure 1a).

The same game as in wgan_gp.py with the paper's networks for toy data: three hidden layers of 512
ReLUs each. The picture shows real points (orange), generated ones (blue) and the level sets of the
critic. Those of a clipped critic are too simple, and lead G astray; these follow the data.

    python examples/stability/wgan_gp2d.py                  # 25 Gaussians on a grid
    python examples/stability/wgan_gp2d.py --data swiss_roll
    python examples/stability/wgan_gp2d.py --clip 0.01      # clipped weights, without the penalty
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, penalties, plots, training, xp
from scratchgan.examples import gan2d, wgan_gp
from scratchgan.layers import Dense, ReLU, Sequential
from scratchgan.metrics.wasserstein import sliced
from scratchgan.penalties import clip
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """Algorithm 1's critic steps; Adam's betas and lambda as in the authors' code for toy data."""

    steps: int = option(5000, "training steps: one is critic-steps of D and one of G", minimum=1)
    batch_size: int = option(256, "real points in a step of the critic", minimum=1)
    lr: float = option(1e-4, "learning rate", minimum=1e-12)
    data: str = option("grid", "the real points", choices=("ring", "grid", "swiss_roll"))
    critic_steps: int = option(5, "steps of the critic for a step of G", minimum=1)
    penalty: float = option(0.1, "weight of the gradient penalty, the paper's lambda", minimum=0)
    clip: float = option(0.0, "largest weight of D, in place of the penalty; 0: none", minimum=0)
    average: float = option(0.999, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    latent: int = option(2, "length of the latent vector z", minimum=1)
    width: int = option(512, "features of each hidden layer", minimum=1)
    sample_every: int = option(500, "steps from one frame of the animation to the next", minimum=1)


class WGANGP2D(wgan_gp.WGANGP):
    """The game of `wgan_gp.py`; G: 2-512-512-512-2, D: 2-512-512-512-1."""

    def networks(self, shape, rng):
        latent, width = self.settings.latent, self.settings.width
        return perceptron(latent, width, 2, rng), perceptron(2, width, 1, rng)

    @staticmethod
    def load_data(settings):
        rng = np.random.default_rng(settings.seed)
        return gan2d.mixture(settings.data).sample(100_000, rng)  # (N, 2)

    def step(self, batches):
        for _ in range(self.settings.critic_steps):
            real = xp.to_device(batches.next())  # (N, 2)
            D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D descends D(G(z)) - D(x) + lambda (|grad D(xhat)| - 1)^2; or, clipped, D(G(z)) - D(x)
        fake, _ = self.G.forward(self.noise(len(real)))
        real_score, real_tape = self.D.forward(real)
        fake_score, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.wasserstein_discriminator(real_score, fake_score)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        penalty, weight = xp.zeros(()), self.settings.penalty
        if not self.settings.clip:
            # into D, too
            penalty = penalties.wgan_gp(self.D, real, fake, rng=self.rng, weight=weight)
        self.opt_D.step()
        if self.settings.clip:
            clip(self.D, self.settings.clip)
        return loss, penalty

    def picture(self, z):
        real = self.mixture()
        points = real.sample(1000, np.random.default_rng(1)), xp.to_host(self.generate(z))
        surface = lambda x: xp.to_host(self.D(xp.to_device(x)))
        title = ", ".join(f"{name} {value:.3g}" for name, value in self.report().items())
        return plots.plane(*points, surface=surface, levels=20, bounds=real.bounds, title=title)

    def mixture(self):
        return gan2d.mixture(self.settings.data)

    def report(self):
        real, rng = self.mixture(), np.random.default_rng(0)
        fake = xp.to_host(self.generate(xp.to_device(self.latent(2500, rng))))
        distance = sliced(real.sample(2500, rng), fake, rng=rng)
        return {"sliced distance": distance} | gan2d.count_modes(fake, real)


def perceptron(inputs, width, outputs, rng):
    """Three hidden layers of ReLUs."""
    return Sequential(
        Dense(inputs, width, rng=rng), ReLU(),
        Dense(width, width, rng=rng), ReLU(),
        Dense(width, width, rng=rng), ReLU(),
        Dense(width, outputs, rng=rng),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(WGANGP2D, Settings)
