"""A projection discriminator (Miyato & Koyama 2018, "cGANs with Projection Discriminator").

    D(x, y) = <V[y], phi(x)> + psi(phi(x))                                               (section 3)
    D descends  E max(0, 1 - D(x, y)) + E max(0, 1 + D(G(z, y), y));   G ascends E D(G(z, y), y)

If log P(y | x) is linear in features phi(x) up to a number that depends on x alone, among real and
among generated samples, then the optimal logit has this form: y adds a scalar product with a vector
of its own. No layer of D but the last is told y. G is told y in each normalisation, whose gain is 1
+ gamma[y] and whose shift is beta[y]. Every weight of D, V too, is divided by its largest singular
value.

    python examples/labels/projection.py                   # glyphs
    python examples/labels/projection.py --data mnist      # 7 minutes on a core: 95 % right
    python examples/labels/projection.py accuracy runs/projection
"""

from dataclasses import dataclass

from scratchgan import losses, training
from scratchgan.examples import cgan
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
from scratchgan.training import option
from scratchgan.weights import spectral_norm


@dataclass
class Settings(training.Settings):
    """Losses and normalisations as in the paper; networks after SNGAN's, no residual blocks."""

    steps: int = option(5000, "training steps: one is a step of D and a step of G", minimum=1)
    lr: float = option(5e-4, "learning rate", minimum=1e-12)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    average: float = option(0.995, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    width: int = option(24, "channels of the stage next to the picture", minimum=1)


class ProjectionGAN(cgan.CGAN):
    """G: z to 7 x 7 to 28 x 28, told y by normalisations; D: down to 7 x 7, then the projection."""

    def networks(self, shape, rng):
        classes, small, large = self.settings.classes, self.settings.width, 2 * self.settings.width
        G = Conditional(
            Dense(self.settings.latent, 7 * 7 * large, rng=rng), Reshape(7, 7, large),
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
        return G, spectral_norm(D, rng=rng)

    def discriminator_step(self, real, labels):
        # D descends max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y), y))
        fake, _ = self.G.forward((self.noise(len(real)), labels))
        real_logits, real_tape = self.D.forward((real, labels))
        fake_logits, fake_tape = self.D.forward((fake, labels))
        loss, d_real, d_fake = losses.hinge_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def equilibrium(self):
        return {"D": 2.0}  # any D(x, y) from -1 to 1, the same everywhere

    def generator_step(self, labels):
        # G ascends D(G(z, y), y)
        fake, G_tape = self.G.forward((self.noise(len(labels)), labels))
        logits, D_tape = self.D.forward((fake, labels))
        loss, d_logits = losses.hinge_generator(logits)
        (d_fake, _), _ = self.D.pull(D_tape, d_logits)  # through D, not into D; y has no gradient
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss


if __name__ == "__main__":
    training.main(ProjectionGAN, Settings, commands=[training.accuracy])
