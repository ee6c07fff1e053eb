"""ACGAN (Odena, Olah & Shlens 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs").

    L_S = E log P(S = real | x_real) + E log P(S = fake | x_fake)                            (eq. 2)
    L_C = E log P(C = c | x_real)    + E log P(C = c | x_fake)                               (eq. 3)
    D ascends L_S + L_C;   G ascends L_C - L_S

D is not told the class: a second head, beside that of real or fake, names it, and G, which is told,
must draw what D names. P(C | x) is the softmax of K logits, and the loss takes its logarithm from
the logits. A Softmax at the end of the head would be a second one: P could then be e / (e + K - 1)
at most, 0.23 for K = 10, and the loss never below 1.46.

The two forms of L_C for D, both in use: with its second term, as in the paper, D also learns to
name what G drew when asked for c, even while that looks like nothing (--fake-class, the default);
without it, D learns names from real pictures alone (--no-fake-class). G's objective is the same.
docs/labels.md compares them.

    python examples/labels/acgan.py                                # glyphs
    python examples/labels/acgan.py --data mnist                   # 5 minutes on a core: 88 % right
    python examples/labels/acgan.py --data mnist --no-fake-class   # 96 %
    python examples/labels/acgan.py accuracy runs/acgan
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.examples import cgan
from scratchgan.layers import (
    BatchNorm,
    Concat,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    Sequential,
)
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """Adam, LeakyReLU and dropout as in the paper; a larger rate; fewer and narrower layers."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    fake_class: bool = option(True, "whether D learns the class of G's samples, too")
    lr: float = option(5e-4, "learning rate", minimum=1e-12)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=1)
    embedding: int = option(16, "numbers that a label becomes", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    average: float = option(0.995, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    width: int = option(24, "channels of the stage next to the picture", minimum=1)


class ACGAN(cgan.CGAN):
    """G(z, c) of `cgan.py`; D(x) has two heads: the logit of "real", and K of the classes."""

    def networks(self, shape, rng):
        return cgan.generator(self.settings, shape, rng), discriminator(self.settings, shape, rng)

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


def discriminator(settings, shape, rng):
    """Pictures (N, 28, 28, C) -> 14 x 14 -> 7 x 7 -> logits (N, 1 + K)."""
    small, large = settings.width, 2 * settings.width
    features = 7 * 7 * large
    return Sequential(
        Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2),
        Dropout(0.5, rng=rng),
        Conv2d(small, large, 4, stride=2, padding=1, rng=rng), BatchNorm(large), LeakyReLU(0.2),
        Dropout(0.5, rng=rng), Flatten(),
        Concat(Dense(features, 1, rng=rng), Dense(features, settings.classes, rng=rng)),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(ACGAN, Settings, commands=[training.accuracy])
