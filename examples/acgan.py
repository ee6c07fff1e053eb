"""ACGAN (Odena, Olah & Shlens 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs").

    L_S = E log P(S = real | x_real) + E log P(S = fake | x_fake)                             (eq. 2)
    L_C = E log P(C = c | x_real)    + E log P(C = c | x_fake)                                (eq. 3)
    D ascends L_S + L_C;   G ascends L_C - L_S

D is not told the class: a second head, beside that of real or fake, names it, and G, which is told, must draw what D
names. P(C | x) is the softmax of K logits, and the loss takes its logarithm from the logits. A Softmax at the end of
the head would be a second one: P could then be e / (e + K - 1) at most, 0.23 for K = 10, and the loss never below 1.46.

The two forms of L_C for D, both in use: with its second term, as in the paper, D also learns to name what G drew when
asked for c, even while that looks like nothing (--fake-class, the default); without it, D learns names from real
pictures alone (--no-fake-class). G's objective is the same. docs/labels.md compares them.

    python examples/acgan.py                        # glyphs
    python examples/acgan.py --data mnist           # 5 minutes on a core: 88 % are of the class that was asked for
    python examples/acgan.py --data mnist --no-fake-class           # 96 %
    python examples/acgan.py accuracy runs/acgan
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.layers import (
    BatchNorm,
    Concat,
    Conditional,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    LabelChannels,
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
    """Adam, LeakyReLU and dropout as in the paper; a larger rate, and fewer and narrower layers, for 28 x 28."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    fake_class: bool = option(True, "whether D learns the class of G's samples too, as in the paper")
    lr: float = option(5e-4, "learning rate", minimum=1e-12)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=1)
    embedding: int = option(16, "numbers that a label becomes", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    average: float = option(0.995, "decay of the average of G's weights to sample from", minimum=0, maximum=0.99999)
    width: int = option(24, "channels of the stage next to the picture", minimum=1)


class ACGAN(training.LabelledModel):
    """G(z, c); D(x) has two heads side by side: the logit of "real", and K logits of the classes."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        small, large, told = settings.width, 2 * settings.width, settings.embedding
        self.G = Conditional(
            LabelChannels(settings.classes, told, rng=rng),
            Dense(settings.latent + told, 7 * 7 * large, rng=rng), Reshape(7, 7, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, rng=rng), BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, rng=rng), Tanh(),
        )  # fmt: skip
        features = 7 * 7 * large
        self.D = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2), Dropout(0.5, rng=rng),
            Conv2d(small, large, 4, stride=2, padding=1, rng=rng), BatchNorm(large), LeakyReLU(0.2),
            Dropout(0.5, rng=rng), Flatten(),
            Concat(Dense(features, 1, rng=rng), Dense(features, settings.classes, rng=rng)),  # (N, 1 + K) logits
        )  # fmt: skip
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))
        self.G_average = EMA(self.G, settings.average)

    def step(self, batches):
        images, labels = batches.next()
        real, labels = xp.to_device(data.to_signed(images)), xp.to_device(labels)  # (N, 28, 28, C), (N,)
        D_loss, D_class = self.discriminator_step(real, labels)
        G_loss, G_class = self.generator_step(labels)
        return {"D": D_loss, "D class": D_class, "G": G_loss, "G class": G_class}

    def discriminator_step(self, real, labels):
        # D ascends log P(real | x) + log P(fake | G(z, c)) + log P(C = c | x) [+ log P(C = c | G(z, c))]
        fake = self.G.forward((self.noise(len(real)), labels))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits[:, :1], fake_logits[:, :1])
        class_loss, d_real_class = losses.softmax_cross_entropy(real_logits[:, 1:], labels)
        fake_loss, d_fake_class = losses.softmax_cross_entropy(fake_logits[:, 1:], labels)
        if self.settings.fake_class:
            class_loss = class_loss + fake_loss
        else:
            d_fake_class = xp.zeros_like(d_fake_class)
        self.D.backward(real_tape, xp.concatenate([d_real, d_real_class], axis=1))
        self.D.backward(fake_tape, xp.concatenate([d_fake, d_fake_class], axis=1))
        self.opt_D.step()
        return loss, class_loss

    def generator_step(self, labels):
        # G ascends log P(real | G(z, c)) + log P(C = c | G(z, c))
        fake, G_tape = self.G.forward((self.noise(len(labels)), labels))
        logits, D_tape = self.D.forward(fake)
        loss, d_logit = losses.nonsaturating_generator(logits[:, :1])
        class_loss, d_class = losses.softmax_cross_entropy(logits[:, 1:], labels)
        d_fake = self.D.backward(D_tape, xp.concatenate([d_logit, d_class], axis=1), grads=False)
        self.G.backward(G_tape, d_fake)
        self.opt_G.step()
        self.G_average.update()
        return loss, class_loss

    def sample(self, z, labels):
        return self.G_average.net((z, labels))


if __name__ == "__main__":
    training.main(ACGAN, Settings, commands=[training.accuracy])
