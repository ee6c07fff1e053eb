"""DRAGAN (Kodali, Abernethy, Hays & Kira 2017, "On Convergence and Stability of GANs").

    D descends  -E log D(x) - E log(1 - D(G(z))) + lambda E (|grad s(x + delta)| - 1)^2
    D = sigmoid(s);   delta ~ noise;   G ascends  E log D(G(z))

Where D changes sharply around real samples, G sees no slope that leads to most of them, and
collapses to where there is one. So D is asked to have slope 1 around real samples: there alone,
while WGAN-GP asks everywhere on the way to them. The slope is that of the logit s.

    python examples/stability/dragan.py                      # glyphs
    python examples/stability/dragan.py --data mnist
"""

from dataclasses import dataclass

from scratchgan import data, losses, penalties, training, xp
from scratchgan.examples import gan, wgan_gp
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """lambda and delta are the paper's (section 3 and its code); the rest: docs/recipes.md."""

    steps: int = option(10_000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a step; D compares up to four", minimum=2)
    lr: float = option(1e-3, "learning rate", minimum=1e-12)
    penalty: float = option(10.0, "weight of the gradient penalty, the paper's lambda", minimum=0)
    spread: float = option(0.5, "size of delta, in standard deviations of pixels", minimum=0)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)
    average: float = option(0.998, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class DRAGAN(gan.GAN):
    """The game of `gan.py` with the networks of `wgan_gp.py`, whose D has no batch norm."""

    def networks(self, shape, rng):
        return wgan_gp.pair(self.settings, shape, rng)

    def objectives(self):
        return losses.nonsaturating_discriminator, losses.nonsaturating_generator

    def equilibrium(self):
        return {}  # the penalty asks for a slope of 1, and D(x) = 1/2 has none

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z))) - lambda (|grad s(x + delta)| - 1)^2
        fake, _ = self.G.forward(self.noise(len(real)))
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = self.discriminator_loss(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        options = {"weight": self.settings.penalty, "scale": self.settings.spread, "rng": self.rng}
        penalty = penalties.dragan(self.D, real, batch_statistics=True, **options)  # into D, too
        self.opt_D.step()
        return loss, penalty


if __name__ == "__main__":
    training.main(DRAGAN, Settings)
