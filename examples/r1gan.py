"""A GAN with the R1 penalty (Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?").

    D descends  -E log D(x) - E log(1 - D(G(z))) + gamma / 2 E |grad D(x)|^2                             (eq. 1 and 9)

Once G is right, D should leave it alone; unregularised, D keeps a slope there, and the two circle around the solution
for ever. R1 takes D's slope away at real samples, and the game converges locally (theorem 4.1). In two numbers:
docs/figures/dirac_gan.py. G's samples come from an average of its weights, as in the paper.

    python examples/r1gan.py                       # glyphs
    python examples/r1gan.py --data mnist
    python examples/r1gan.py --penalty-every 16    # the penalty in every 16th step, 16 times as strong: faster
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
from scratchgan.optim import EMA, Adam
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """gamma and the average as in the paper (section 5), for pictures of 28 x 28."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    gamma: float = option(10.0, "weight of the R1 penalty", minimum=0)
    penalty_every: int = option(1, "steps of D from one penalty to the next", minimum=1)
    average: float = option(0.999, "decay of the average of G's weights to sample from", minimum=0, maximum=0.99999)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(64, "channels of the stage next to the picture", minimum=1)


class R1GAN(training.Model):
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
        self.G_average = EMA(self.G, settings.average)

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z))) - gamma / 2 |grad D(x)|^2
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        factor = penalties.lazily(self.opt_D.steps, self.settings.penalty_every)
        penalty = penalties.r1(self.D, real, weight=factor * self.settings.gamma) if factor else xp.zeros(())
        self.opt_D.step()
        return loss, penalty

    def generator_step(self, n):
        # G ascends log D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(logits)
        self.G.backward(G_tape, self.D.backward(D_tape, d_logits, grads=False))
        self.opt_G.step()
        self.G_average.update()
        return loss

    def generate(self, z):
        return self.G_average.net(z)


if __name__ == "__main__":
    training.main(R1GAN, Settings)
