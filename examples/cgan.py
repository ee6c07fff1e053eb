"""A conditional GAN (Mirza & Osindero 2014, "Conditional Generative Adversarial Nets").

    min over G, max over D of  E log D(x | y) + E log(1 - D(G(z | y) | y))                    (eq. 2)

Both networks are told the label y. D's question is no longer "is x real?" but "is x a real y?", so that G must draw
the digit that it is asked for. An embedding of y stands beside z in G; in D, beside x in a perceptron, and beside the
first features in convolutions, as further channels that are the same at every position. docs/labels.md has results.

    python examples/cgan.py                         # glyphs
    python examples/cgan.py --data mnist            # 7 minutes on a core: 97 % of the digits are those asked for
    python examples/cgan.py --network mlp           # two perceptrons, as in the paper
    python examples/cgan.py accuracy runs/cgan      # does the classifier see the digits that were asked for?
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.layers import (
    BatchNorm,
    Conditional,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LabelChannels,
    LeakyReLU,
    ReLU,
    Reshape,
    Tanh,
)
from scratchgan.optim import EMA, Adam
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """Adam with DCGAN's betas, and a larger rate; fewer channels than there, for a few minutes on a CPU."""

    steps: int = option(5000, "training steps: one is a step of D and a step of G", minimum=1)
    lr: float = option(5e-4, "learning rate", minimum=1e-12)
    network: str = option("conv", "what G and D are made of", choices=("conv", "mlp"))
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=1)
    embedding: int = option(16, "numbers that a label becomes", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    average: float = option(0.995, "decay of the average of G's weights to sample from", minimum=0, maximum=0.99999)
    width: int = option(24, "channels next to the picture; a perceptron has 8 times as many units", minimum=1)


class CGAN(training.LabelledModel):
    """G(z | y) and D(x | y), convolutional or perceptrons, for pictures of 28 x 28."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = (convolutional if settings.network == "conv" else perceptrons)(settings, shape, rng)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))
        self.G_average = EMA(self.G, settings.average)

    def step(self, batches):
        images, labels = batches.next()
        real, labels = xp.to_device(data.to_signed(images)), xp.to_device(labels)  # (N, 28, 28, C), (N,)
        return {"D": self.discriminator_step(real, labels), "G": self.generator_step(labels)}

    def discriminator_step(self, real, labels):
        # D ascends log D(x | y) + log(1 - D(G(z | y) | y))
        fake = self.G.forward((self.noise(len(real)), labels))[0]
        real_logits, real_tape = self.D.forward((real, labels))
        fake_logits, fake_tape = self.D.forward((fake, labels))
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, labels):
        # G ascends log D(G(z | y) | y)
        fake, G_tape = self.G.forward((self.noise(len(labels)), labels))
        logits, D_tape = self.D.forward((fake, labels))
        loss, d_logits = losses.nonsaturating_generator(logits)
        self.G.backward(G_tape, self.D.backward(D_tape, d_logits, grads=False))  # labels have no gradient
        self.opt_G.step()
        self.G_average.update()
        return loss

    def sample(self, z, labels):
        return self.G_average.net((z, labels))


def convolutional(settings, shape, rng):
    """DCGAN's networks, with an embedding of the label beside z and beside D's first features; D one layer deeper."""
    small, large, told = settings.width, 2 * settings.width, settings.embedding
    G = Conditional(
        LabelChannels(settings.classes, told, rng=rng),
        Dense(settings.latent + told, 7 * 7 * large, rng=rng), Reshape(7, 7, large), BatchNorm(large), ReLU(),
        ConvTranspose2d(large, small, 4, stride=2, padding=1, rng=rng), BatchNorm(small), ReLU(),
        ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, rng=rng), Tanh(),
    )  # fmt: skip
    D = Conditional(
        Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2),
        LabelChannels(settings.classes, told, rng=rng),  # (N, 14, 14, small + embedding)
        Conv2d(small + told, large, 4, stride=2, padding=1, rng=rng), BatchNorm(large), LeakyReLU(0.2),
        Conv2d(large, large, 3, padding=1, rng=rng), BatchNorm(large), LeakyReLU(0.2),
        Flatten(), Dense(7 * 7 * large, 1, rng=rng),
    )  # fmt: skip
    return G, D


def perceptrons(settings, shape, rng):
    """GAN's networks, with an embedding of the label beside z and beside the pixels."""
    pixels, hidden, told = int(np.prod(shape)), 8 * settings.width, settings.embedding
    G = Conditional(
        LabelChannels(settings.classes, told, rng=rng), Dense(settings.latent + told, hidden, rng=rng), ReLU(),
        Dense(hidden, pixels, rng=rng), Tanh(), Reshape(*shape),
    )  # fmt: skip
    D = Conditional(
        Flatten(), LabelChannels(settings.classes, told, rng=rng),
        Dense(pixels + told, hidden, rng=rng), LeakyReLU(0.2), Dense(hidden, 1, rng=rng),
    )  # fmt: skip
    return G, D


if __name__ == "__main__":
    training.main(CGAN, Settings, commands=[training.accuracy])
