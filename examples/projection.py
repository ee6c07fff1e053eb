"""A projection discriminator (Miyato & Koyama 2018, "cGANs with Projection Discriminator").

    D(x, y) = <V[y], phi(x)> + psi(phi(x))                                                    (section 3)
    D descends  E max(0, 1 - D(x, y)) + E max(0, 1 + D(G(z, y), y));   G ascends E D(G(z, y), y)

If log P(y | x) is linear in features phi(x) up to a number that depends on x alone, among real and among generated
samples, then the optimal logit has this form: y adds a scalar product with a vector of its own. No layer of D but the
last is told y. G is told y in each normalisation, whose gain is 1 + gamma[y] and whose shift is beta[y]. Every weight
of D, V too, is divided by its largest singular value.

    python examples/projection.py                   # glyphs
    python examples/projection.py --data mnist      # 7 minutes on a core: 95 % are of the class that was asked for
    python examples/projection.py accuracy runs/projection
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.layers import (
    Conditional,
    ConditionalBatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    Projection,
    ReLU,
    Reshape,
    Tanh,
)
from scratchgan.optim import EMA, Adam
from scratchgan.param import spectral_norm
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """Losses and normalisations as in the paper; networks after SNGAN's for 32 x 32, without residual blocks."""

    steps: int = option(5000, "training steps: one is a step of D and a step of G", minimum=1)
    lr: float = option(5e-4, "learning rate", minimum=1e-12)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    average: float = option(0.995, "decay of the average of G's weights to sample from", minimum=0, maximum=0.99999)
    width: int = option(24, "channels of the stage next to the picture", minimum=1)


class ProjectionGAN(training.LabelledModel):
    """G: z to 7 x 7 to 14 x 14 to 28 x 28, told y by its normalisations; D: down to 7 x 7, then the projection."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        classes, small, large = settings.classes, settings.width, 2 * settings.width
        self.G = Conditional(
            Dense(settings.latent, 7 * 7 * large, rng=rng), Reshape(7, 7, large),
            ConditionalBatchNorm(classes, large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, rng=rng),
            ConditionalBatchNorm(classes, small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, rng=rng), Tanh(),
        )  # fmt: skip
        D = Conditional(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(small, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(large, large, 3, padding=1, rng=rng), LeakyReLU(0.1),
            Flatten(), Projection(7 * 7 * large, classes, rng=rng),
        )  # fmt: skip
        self.D = spectral_norm(D, rng=rng)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))
        self.G_average = EMA(self.G, settings.average)

    def step(self, batches):
        images, labels = batches.next()
        real, labels = xp.to_device(data.to_signed(images)), xp.to_device(labels)  # (N, 28, 28, C), (N,)
        return {"D": self.discriminator_step(real, labels), "G": self.generator_step(labels)}

    def discriminator_step(self, real, labels):
        # D descends max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y), y))
        fake = self.G.forward((self.noise(len(real)), labels))[0]
        real_logits, real_tape = self.D.forward((real, labels))
        fake_logits, fake_tape = self.D.forward((fake, labels))
        loss, d_real, d_fake = losses.hinge_discriminator(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, labels):
        # G ascends D(G(z, y), y)
        fake, G_tape = self.G.forward((self.noise(len(labels)), labels))
        logits, D_tape = self.D.forward((fake, labels))
        loss, d_logits = losses.hinge_generator(logits)
        self.G.backward(G_tape, self.D.backward(D_tape, d_logits, grads=False))
        self.opt_G.step()
        self.G_average.update()
        return loss

    def sample(self, z, labels):
        return self.G_average.net((z, labels))


if __name__ == "__main__":
    training.main(ProjectionGAN, Settings, commands=[training.accuracy])
