"""Relativistic average GAN (Jolicoeur-Martineau 2019, "The relativistic discriminator").

    D ascends  E log sigmoid(C(x) - E C(G(z))) + E log(1 - sigmoid(C(G(z)) - E C(x)))    (section 4)
    G ascends  the same with real and generated samples exchanged

D says how much more real a real sample is than generated ones are on average. If G makes its
samples more real, real ones look less real by comparison: so G's objective depends on real samples,
too, through D.

    python examples/stability/ragan.py                       # glyphs
    python examples/stability/ragan.py --loss hinge          # the same with hinge losses
    python examples/stability/ragan.py --loss paired         # each against one of the other kind
"""

import math
from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.examples import gan, wgan_gp
from scratchgan.initializers import normal
from scratchgan.layers import BatchNorm, Conv2d, Dense, Flatten, LeakyReLU, Sequential
from scratchgan.optim import Adam
from scratchgan.training import option

LOSSES = {  # the losses of D and of G
    "average": (losses.relativistic_average_discriminator, losses.relativistic_average_generator),
    "paired": (losses.relativistic_discriminator, losses.relativistic_generator),
    "hinge": (
        losses.relativistic_average_hinge_discriminator,
        losses.relativistic_average_hinge_generator,
    ),
}
EQUILIBRIA = {  # of both losses: no sample is more real than another
    "average": 2 * math.log(2),
    "paired": math.log(2),
    "hinge": 2.0,
}


@dataclass
class Settings(training.Settings):
    """The networks and the rates of `dcgan.py`, which are InfoGAN's: docs/recipes.md."""

    steps: int = option(5000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a training step", minimum=2)
    lr: float = option(2e-4, "learning rate of D", minimum=1e-12)
    lr_G: float = option(1e-3, "learning rate of G", minimum=1e-12)
    loss: str = option("average", "what D and G play for", choices=tuple(LOSSES))
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)
    average: float = option(0.998, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class RaGAN(gan.GAN):
    """The game of `gan.py` with losses that compare; D's step is the same. D has batch norm."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.opt_G = Adam(self.G.params(), settings.lr_G)

    def networks(self, shape, rng):
        G = wgan_gp.generator(self.settings, shape, rng, initialize=normal, hidden=512)
        small, large = self.settings.width, 2 * self.settings.width
        drawn = {"rng": rng, "initialize": normal}
        D = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, **drawn), LeakyReLU(0.2),
            Conv2d(small, large, 4, stride=2, padding=1, **drawn), BatchNorm(large), LeakyReLU(0.2),
            Flatten(), Dense(7 * 7 * large, 256, **drawn), BatchNorm(256), LeakyReLU(0.2),
            Dense(256, 1, **drawn),
        )  # fmt: skip
        return G, D

    def objectives(self):
        # D ascends log sigmoid(C(x) - E C(G(z))) + log(1 - sigmoid(C(G(z)) - E C(x)))
        return LOSSES[self.settings.loss]

    def equilibrium(self):
        return dict.fromkeys("DG", EQUILIBRIA[self.settings.loss])

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        return {"D": self.discriminator_step(real), "G": self.generator_step(real)}

    def generator_step(self, real):
        # G ascends log sigmoid(C(G(z)) - E C(x)) + log(1 - sigmoid(C(x) - E C(G(z))))
        fake, G_tape = self.G.forward(self.noise(len(real)))
        real_logits, _ = self.D.forward(real)  # D(x) does not depend on G
        fake_logits, D_tape = self.D.forward(fake)
        loss, _, d_logits = self.generator_loss(real_logits, fake_logits)
        d_fake, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss


if __name__ == "__main__":
    training.main(RaGAN, Settings)
