"""DRAGAN (Kodali, Abernethy, Hays & Kira 2017, "On Convergence and Stability of GANs").

    D descends  -E log D(x) - E log(1 - D(G(z))) + lambda E (|grad D(x + delta)| - 1)^2,   delta ~ noise

Where D changes sharply around real samples, G sees no slope that leads to most of them, and collapses to where there is
one. So D is asked to have slope 1 around real samples: there alone, while WGAN-GP asks everywhere on the way to them.
The norm is that of the gradient of the logit.

    python examples/dragan.py                      # glyphs
    python examples/dragan.py --data mnist
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
    """The paper's defaults (section 3 and its code), for pictures of 28 x 28."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    penalty: float = option(10.0, "weight of the gradient penalty, the paper's lambda", minimum=0)
    spread: float = option(0.5, "size of the noise around real samples, in standard deviations of pixels", minimum=0)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(64, "channels of the stage next to the picture", minimum=1)


class DRAGAN(training.Model):
    """G: z to 7 x 7 to 14 x 14 to 28 x 28; D its mirror, without batch norm."""

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
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z))) - lambda (|grad D(x + delta)| - 1)^2
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        weight, scale = self.settings.penalty, self.settings.spread
        penalty = penalties.dragan(self.D, real, rng=self.rng, weight=weight, scale=scale)  # its gradients add up, too
        self.opt_D.step()
        return loss, penalty

    def generator_step(self, n):
        # G ascends log D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(logits)
        self.G.backward(G_tape, self.D.backward(D_tape, d_logits, grads=False))
        self.opt_G.step()
        return loss

    def generate(self, z):
        return self.G(z)


if __name__ == "__main__":
    training.main(DRAGAN, Settings)
