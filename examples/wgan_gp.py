"""WGAN with a gradient penalty (Gulrajani et al. 2017, "Improved Training of Wasserstein GANs").

    D descends  E D(G(z)) - E D(x) + lambda E (|grad D(xhat)| - 1)^2                        (eq. 3)
    xhat = t x + (1 - t) G(z),  t ~ U(0, 1);   G ascends  E D(G(z))

A critic that realises the Wasserstein distance has slope 1 almost everywhere between real and
generated samples (proposition 1). So a penalty asks for that slope, in place of clipping. Its
gradient is a derivative of a derivative, exact and by hand: docs/second-order.md.

    python examples/wgan_gp.py                     # glyphs
    python examples/wgan_gp.py --data mnist
"""

import math
from dataclasses import dataclass

from scratchgan import data, losses, penalties, training, xp
from scratchgan.initializers import he, normal
from scratchgan.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    MinibatchStd,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from scratchgan.optim import EMA, Adam
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """lambda is the paper's, the betas are the authors' code's; the rest: docs/recipes.md."""

    steps: int = option(10_000, "training steps: one is critic-steps of D and one of G", minimum=1)
    batch_size: int = option(32, "real samples in a step; D compares up to four", minimum=2)
    lr: float = option(1e-3, "learning rate", minimum=1e-12)
    critic_steps: int = option(1, "steps of the critic for a step of G", minimum=1)
    penalty: float = option(10.0, "weight of the gradient penalty, the paper's lambda", minimum=0)
    one_sided: bool = option(False, "penalise only slopes above 1 (Petzka et al. 2018)")
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)
    average: float = option(0.998, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class WGANGP(training.Model):
    """G: z to 7 x 7 to 14 x 14 to 28 x 28; the critic D: down again, to a score, no logit."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = self.networks(shape, rng)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.9))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.9))
        self.G_average = EMA(self.G, settings.average)  # it draws the samples; with 0, G itself

    def networks(self, shape, rng):
        return pair(self.settings, shape, rng)

    def step(self, batches):
        for _ in range(self.settings.critic_steps):  # fresh real samples each time
            real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
            D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D descends D(G(z)) - D(x) + lambda (|grad D(xhat)| - 1)^2; `loss` is the first two
        fake, _ = self.G.forward(self.noise(len(real)))
        real_score, real_tape = self.D.forward(real)  # (N, 1)
        fake_score, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.wasserstein_discriminator(real_score, fake_score)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        options = {"weight": self.settings.penalty, "one_sided": self.settings.one_sided}
        options |= {"rng": self.rng, "batch_statistics": True}  # of the sum of scores: see `critic`
        penalty = penalties.wgan_gp(self.D, real, fake, **options)  # into D, too
        self.opt_D.step()
        return loss, penalty

    def generator_step(self, n):
        # G ascends D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        score, D_tape = self.D.forward(fake)
        loss, d_score = losses.wasserstein_generator(score)
        d_fake, _ = self.D.pull(D_tape, d_score)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def equilibrium(self):
        return {"D": 0.0}  # without the penalty; any number may be added to the critic

    def generate(self, z):
        return self.G_average.net(z)


def pair(settings, shape, rng):
    """Return G and D of the games whose D has no batch norm; why these: docs/recipes.md."""
    G = generator(settings, shape, rng, initialize=normal, hidden=512)
    return G, critic(settings, shape, rng)


def generator(settings, shape, rng, initialize=he, hidden=0):
    """z (N, latent) -> 7 x 7 -> 14 x 14 -> pictures (N, 28, 28, C) in [-1, 1].

    hidden: units of a dense layer that stands before, if any.
    """
    small, large = settings.width, 2 * settings.width
    drawn = {"rng": rng, "initialize": initialize}
    first = [Dense(settings.latent, hidden, **drawn), BatchNorm(hidden), ReLU()] if hidden else []
    return Sequential(
        *first, Dense(hidden or settings.latent, 7 * 7 * large, **drawn),
        Reshape(7, 7, large), BatchNorm(large), ReLU(),
        ConvTranspose2d(large, small, 4, stride=2, padding=1, **drawn), BatchNorm(small), ReLU(),
        ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, **drawn), Tanh(),
    )  # fmt: skip


def critic(settings, shape, rng):
    """Pictures -> 14 x 14 -> 7 x 7 -> scores (N, 1); D sees how much the samples of a group differ.

    No batch norm: the penalty is on the gradient at each sample. With `MinibatchStd` that is still
    of the sum of all scores: what a sample does to the scores of its group counts, too.
    """
    small, large = settings.width, 2 * settings.width
    group = math.gcd(4, settings.batch_size)
    return Sequential(
        Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2),
        Conv2d(small, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2), MinibatchStd(group),
        Conv2d(large + 1, large, 3, padding=1, rng=rng), LeakyReLU(0.2),
        Flatten(), Dense(7 * 7 * large, 1, rng=rng),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(WGANGP, Settings)
