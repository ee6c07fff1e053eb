"""R1 (Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?").

    D descends  -E log D(x) - E log(1 - D(G(z))) + gamma / 2 E |grad s(x)|^2           (eq. 1 and 9)

D = sigmoid(s), and the slope is that of the logit s, which the paper calls D. Once G is right, D
should leave it alone; unregularised, D keeps a slope there, and the two circle around the solution
for ever. R1 takes D's slope away at real samples, and the game converges locally (theorem 4.1).
docs/figures/dirac_gan.py shows this in two numbers. G's samples come from an average of its
weights, as in the paper.

    python examples/stability/r1gan.py                       # glyphs
    python examples/stability/r1gan.py --data mnist
    python examples/stability/r1gan.py --penalty-every 16    # every 16th step, 16 times as strong
"""

from dataclasses import dataclass

from scratchgan import data, losses, penalties, training, xp
from scratchgan.examples import gan, wgan_gp
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """gamma is 10 in the paper (section 5); these suit small pictures: docs/recipes.md."""

    steps: int = option(10_000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a step; D compares up to four", minimum=2)
    lr: float = option(1e-3, "learning rate", minimum=1e-12)
    gamma: float = option(1.0, "weight of the R1 penalty", minimum=0)
    penalty_every: int = option(4, "steps of D from one penalty to the next", minimum=1)
    average: float = option(0.998, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)


class R1GAN(gan.GAN):
    """The game of `gan.py` with the networks of `wgan_gp.py`, whose D has no batch norm."""

    def networks(self, shape, rng):
        return wgan_gp.pair(self.settings, shape, rng)

    def objectives(self):
        return losses.nonsaturating_discriminator, losses.nonsaturating_generator

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z))) - gamma / 2 |grad s(x)|^2
        fake, _ = self.G.forward(self.noise(len(real)))
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = self.discriminator_loss(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        factor = penalties.lazily(self.opt_D.steps, self.settings.penalty_every)
        penalty = xp.zeros(())
        if factor:
            weight = factor * self.settings.gamma
            penalty = penalties.r1(self.D, real, weight=weight, batch_statistics=True)  # into D
        self.opt_D.step()
        return loss, penalty


if __name__ == "__main__":
    training.main(R1GAN, Settings)
