"""Wasserstein GAN with a gradient penalty (Gulrajani et al. 2017, "Improved Training of Wasserstein GANs").

    D descends  E D(G(z)) - E D(x) + lambda E (|grad D(xhat)| - 1)^2,   xhat = t x + (1 - t) G(z), t ~ U(0, 1)   (eq. 3)

A critic that realises the Wasserstein distance has slope 1 almost everywhere between real and generated samples
(proposition 1). So it is asked for, softly, in place of clipping. The penalty's gradient is a derivative of a
derivative, exact and by hand: docs/second-order.md.

    python examples/wgan_gp.py                     # glyphs
    python examples/wgan_gp.py --data mnist
"""

from dataclasses import dataclass

from scratchgan import data, losses, penalties, training, xp
from scratchgan.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from scratchgan.optim import Adam
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """The paper's defaults (algorithm 1), but for Adam's beta1: 0.5, as in the authors' code for MNIST, not 0."""

    steps: int = option(2000, "training steps: one is critic-steps steps of D and a step of G", minimum=1)
    lr: float = option(1e-4, "learning rate", minimum=1e-12)
    critic_steps: int = option(5, "steps of the critic for a step of G", minimum=1)
    penalty: float = option(10.0, "weight of the gradient penalty, the paper's lambda", minimum=0)
    one_sided: bool = option(False, "penalise only slopes above 1 (Petzka et al. 2018)")
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(64, "channels of the stage next to the picture", minimum=1)


class WGANGP(training.Model):
    """G: z to 7 x 7 to 14 x 14 to 28 x 28; the critic D its mirror, with a score that is no logit."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        small, large = settings.width, 2 * settings.width
        self.G = Sequential(
            Dense(settings.latent, 7 * 7 * large, rng=rng), Reshape(7, 7, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, rng=rng), BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, rng=rng), Tanh(),
        )  # fmt: skip
        self.D = Sequential(  # no batch norm: the penalty is on each sample's own gradient
            Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2),
            Conv2d(small, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2),
            Flatten(), Dense(7 * 7 * large, 1, rng=rng),
        )  # fmt: skip
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.9))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.9))

    def step(self, batches):
        for _ in range(self.settings.critic_steps):  # fresh real samples each time
            real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
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
        weight, one_sided = self.settings.penalty, self.settings.one_sided
        penalty = penalties.wgan_gp(self.D, real, fake, rng=self.rng, weight=weight, one_sided=one_sided)
        self.opt_D.step()
        return loss, penalty

    def generator_step(self, n):
        # G ascends D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        score, D_tape = self.D.forward(fake)
        loss, d_score = losses.wasserstein_generator(score)
        self.G.backward(G_tape, self.D.backward(D_tape, d_score, grads=False))
        self.opt_G.step()
        return loss

    def generate(self, z):
        return self.G(z)


if __name__ == "__main__":
    training.main(WGANGP, Settings)
