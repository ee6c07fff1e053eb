"""ACGAN (Odena, Olah & Shlens 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs").

    L_S = E log P(S = real | x_real) + E log P(S = fake | x_fake)                            (eq. 2)
    L_C = E log P(C = c | x_real)    + E log P(C = c | x_fake)                               (eq. 3)
    D ascends L_S + L_C;   G ascends L_C - L_S

D is not told the class: a second head, beside that of real or fake, names it, and G, which is told,
must draw what D names. P(C | x) is the softmax of K logits, and the loss takes its logarithm from
the logits. A Softmax at the end of the head would be a second one: P could then be e / (e + K - 1)
at most, 0.23 for K = 10, and the loss never below 1.46.

The two forms of L_C for D, both in use: with its second term, as in the paper, D also learns to
name what G drew when asked for c, even while that looks like nothing (--fake-class); without it,
the default, D learns names from real pictures alone. G's objective is the same. docs/labels.md
compares them.

    python examples/labels/acgan.py                             # glyphs
    python examples/labels/acgan.py --data mnist                # 3 minutes on a core: 99 % right
    python examples/labels/acgan.py --data mnist --fake-class   # the paper's way
    python examples/labels/acgan.py accuracy runs/acgan
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.examples import cgan
from scratchgan.initializers import normal
from scratchgan.layers import (
    BatchNorm,
    Concat,
    Conditional,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LabelChannels,
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
    """The hidden layers, rates and weights are InfoGAN's: docs/recipes.md; no dropout."""

    steps: int = option(5000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a training step", minimum=2)
    fake_class: bool = option(False, "whether D learns the class of G's samples, too")
    lr: float = option(2e-4, "learning rate of D", minimum=1e-12)
    lr_G: float = option(1e-3, "learning rate of G", minimum=1e-12)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=1)
    embedding: int = option(16, "numbers that a label becomes", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    average: float = option(0.998, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)


class ACGAN(cgan.CGAN):
    """G(z, c) of `cgan.py`; D(x) has two heads: the logit of "real", and K of the classes."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.opt_G = Adam(self.G.params(), settings.lr_G, betas=(0.5, 0.999))

    def networks(self, shape, rng):
        return generator(self.settings, shape, rng), discriminator(self.settings, shape, rng)

    def equilibrium(self):
        return {}  # where D names classes, G's best samples are not as the data are

    def step(self, batches):
        images, labels = batches.next()
        real = xp.to_device(data.to_signed(images))  # (N, 28, 28, C)
        labels = xp.to_device(labels)  # (N,)
        D_loss, D_class = self.discriminator_step(real, labels)
        G_loss, G_class = self.generator_step(labels)
        return {"D": D_loss, "D class": D_class, "G": G_loss, "G class": G_class}

    def discriminator_step(self, real, labels):
        # D ascends log P(real | x) + log P(fake | G(z, c)) + log P(C = c | x)
        # [+ log P(C = c | G(z, c))]
        fake, _ = self.G.forward((self.noise(len(real)), labels))
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        real_logit, fake_logit = real_logits[:, :1], fake_logits[:, :1]
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logit, fake_logit)
        class_loss, d_real_class = losses.softmax_cross_entropy(real_logits[:, 1:], labels)
        fake_loss, d_fake_class = losses.softmax_cross_entropy(fake_logits[:, 1:], labels)
        if self.settings.fake_class:
            class_loss = class_loss + fake_loss
        else:
            d_fake_class = xp.zeros_like(d_fake_class)
        self.D.accumulate(real_tape, xp.concatenate([d_real, d_real_class], axis=1))  # into D
        self.D.accumulate(fake_tape, xp.concatenate([d_fake, d_fake_class], axis=1))
        self.opt_D.step()
        return loss, class_loss

    def generator_step(self, labels):
        # G ascends log P(real | G(z, c)) + log P(C = c | G(z, c))
        fake, G_tape = self.G.forward((self.noise(len(labels)), labels))
        logits, D_tape = self.D.forward(fake)
        loss, d_logit = losses.nonsaturating_generator(logits[:, :1])
        class_loss, d_class = losses.softmax_cross_entropy(logits[:, 1:], labels)
        d_logits = xp.concatenate([d_logit, d_class], axis=1)
        d_fake, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss, class_loss


def generator(settings, shape, rng):
    """(z, labels), (N, latent) and (N,) -> 7 x 7 -> 14 x 14 -> pictures (N, 28, 28, C) in [-1, 1].

    That of `cgan.py` with a hidden dense layer.
    """
    small, large, told = settings.width, 2 * settings.width, settings.embedding
    drawn = {"rng": rng, "initialize": normal}
    first = Dense(settings.latent + told, 512, **drawn), BatchNorm(512), ReLU()
    return Conditional(
        LabelChannels(settings.classes, told, rng=rng),
        *first, Dense(512, 7 * 7 * large, **drawn),
        Reshape(7, 7, large), BatchNorm(large), ReLU(),
        ConvTranspose2d(large, small, 4, stride=2, padding=1, **drawn), BatchNorm(small), ReLU(),
        ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, **drawn), Tanh(),
    )  # fmt: skip


def discriminator(settings, shape, rng):
    """Pictures (N, 28, 28, C) -> 14 x 14 -> 7 x 7 -> logits (N, 1 + K)."""
    small, large, drawn = settings.width, 2 * settings.width, {"rng": rng, "initialize": normal}
    return Sequential(
        Conv2d(shape[-1], small, 4, stride=2, padding=1, **drawn), LeakyReLU(0.2),
        Conv2d(small, large, 4, stride=2, padding=1, **drawn), BatchNorm(large), LeakyReLU(0.2),
        Flatten(), Dense(7 * 7 * large, 256, **drawn), BatchNorm(256), LeakyReLU(0.2),
        Concat(Dense(256, 1, **drawn), Dense(256, settings.classes, **drawn)),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(ACGAN, Settings, commands=[training.accuracy])
