"""Spectral normalisation (Miyato et al. 2018, "Spectral Normalization for GANs"), with hinge losses.

    W_bar = W / sigma(W), sigma the largest singular value                                                      (eq. 8)
    D descends  E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)));   G ascends E D(G(z))                      (eq. 16 and 17)

No layer of D can stretch a difference by more than its convolution overlaps, so D's slope is bounded by construction,
whatever the weights: no penalty, no clipping. sigma follows by one power iteration in each step of the optimizer, and
W's gradient includes the path through sigma: docs/spectral.md.

    python examples/sngan.py                       # glyphs
    python examples/sngan.py --data mnist
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
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
from scratchgan.param import spectral_norm
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """Setting C of the paper's table 1: Adam(2e-4, 0.5, 0.999), one step of D for a step of G."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(64, "channels of the stage next to the picture", minimum=1)


class SNGAN(training.Model):
    """G: z to 7 x 7 to 14 x 14 to 28 x 28; D: pairs of 3 x 3 and 4 x 4 convolutions (table 3), down to 7 x 7."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        small, large = settings.width, 2 * settings.width
        self.G = Sequential(
            Dense(settings.latent, 7 * 7 * large, rng=rng), Reshape(7, 7, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, rng=rng), BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, rng=rng), Tanh(),
        )  # fmt: skip
        D = Sequential(
            Conv2d(shape[-1], small, 3, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(small, small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(small, large, 3, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(large, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Flatten(), Dense(7 * 7 * large, 1, rng=rng),
        )  # fmt: skip
        self.D = spectral_norm(D, rng=rng)  # every W becomes W / sigma(W); the layers do not know
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D descends max(0, 1 - D(x)) + max(0, 1 + D(G(z)))
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.hinge_discriminator(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G ascends D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.hinge_generator(logits)
        self.G.backward(G_tape, self.D.backward(D_tape, d_logits, grads=False))
        self.opt_G.step()
        return loss

    def generate(self, z):
        return self.G(z)


if __name__ == "__main__":
    training.main(SNGAN, Settings)
