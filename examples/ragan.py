"""Relativistic average GAN (Jolicoeur-Martineau 2019, "The relativistic discriminator").

    D ascends  E log sigmoid(C(x) - E C(G(z))) + E log(1 - sigmoid(C(G(z)) - E C(x)));   G ascends the same with real
    and generated samples exchanged                                                                         (section 4)

D says how much more real a real sample is than generated ones are on average. If G makes its samples more real, real
ones look less real by comparison: so G's objective depends on real samples, too, through D.

    python examples/ragan.py                       # glyphs
    python examples/ragan.py --loss hinge          # the same with hinge losses
    python examples/ragan.py --loss paired         # each real sample against one generated one: RSGAN
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
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """The networks of DCGAN, with its optimizer."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    loss: str = option("average", "what D and G play for", choices=("average", "paired", "hinge"))
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(64, "channels of the stage next to the picture", minimum=1)


class RaGAN(training.Model):
    """G: z to 7 x 7 to 14 x 14 to 28 x 28; D its mirror."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        small, large = settings.width, 2 * settings.width
        self.G = Sequential(
            Dense(settings.latent, 7 * 7 * large, rng=rng), Reshape(7, 7, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, rng=rng), BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, rng=rng), Tanh(),
        )  # fmt: skip
        self.D = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2),
            Conv2d(small, large, 4, stride=2, padding=1, rng=rng), BatchNorm(large), LeakyReLU(0.2),
            Flatten(), Dense(7 * 7 * large, 1, rng=rng),
        )  # fmt: skip
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))
        self.discriminator_loss, self.generator_loss = objectives(settings.loss)

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        return {"D": self.discriminator_step(real), "G": self.generator_step(real)}

    def discriminator_step(self, real):
        # D ascends log sigmoid(C(x) - E C(G(z))) + log(1 - sigmoid(C(G(z)) - E C(x)))
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = self.discriminator_loss(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, real):
        # G ascends log sigmoid(C(G(z)) - E C(x)) + log(1 - sigmoid(C(x) - E C(G(z))))
        fake, G_tape = self.G.forward(self.noise(len(real)))
        real_logits = self.D.forward(real)[0]  # real samples do not move with G: their tape is dropped
        fake_logits, D_tape = self.D.forward(fake)
        loss, _, d_fake = self.generator_loss(real_logits, fake_logits)
        self.G.backward(G_tape, self.D.backward(D_tape, d_fake, grads=False))
        self.opt_G.step()
        return loss

    def generate(self, z):
        return self.G(z)


def objectives(loss):
    """Return the losses of D and of G for a choice of `--loss`; each function states its equation."""
    if loss == "average":
        return losses.relativistic_average_discriminator, losses.relativistic_average_generator
    if loss == "paired":
        return losses.relativistic_discriminator, losses.relativistic_generator
    return losses.relativistic_average_hinge_discriminator, losses.relativistic_average_hinge_generator


if __name__ == "__main__":
    training.main(RaGAN, Settings)
