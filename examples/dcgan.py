"""DCGAN (Radford et al. 2016, "Unsupervised Representation Learning with DCGANs").

The game of the plain GAN, with G's samples grown from a small picture of many channels by
transposed convolutions, and D its mirror. The paper's guidelines (section 3): strides instead of
pooling; batch normalisation in both networks, but not at G's output and D's input; no hidden dense
layers; ReLU in G, tanh at its end, LeakyReLU in D; weights N(0, 0.02^2); Adam with lr 2e-4 and
beta1 0.5. A few minutes are better spent with a hidden dense layer and a faster G, as in InfoGAN:
docs/recipes.md. `--hidden 0 --lr-G 2e-4 --average 0` is the paper's way.

    python examples/dcgan.py                              # glyphs, 28 x 28
    python examples/dcgan.py --data mnist
    python examples/dcgan.py --size 64 --data FOLDER --channels 3 --hidden 0 --lr-G 2e-4
    python examples/dcgan.py interpolate runs/dcgan       # figure 4 of the paper
    python examples/dcgan.py arithmetic runs/dcgan --a 3,4,5 --b 10,11,12 --c 20,21,22   # figure 7
"""

import math
from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.initializers import normal
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
    Upsample,
)
from scratchgan.optim import EMA, Adam
from scratchgan.training import arithmetic, option


@dataclass
class Settings(training.Settings):
    """The rates and the hidden layers are InfoGAN's (Chen et al. 2016, C.1); the rest is the paper's."""

    steps: int = option(5000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a training step", minimum=2)
    lr: float = option(2e-4, "learning rate of D", minimum=1e-12)
    lr_G: float = option(1e-3, "learning rate of G", minimum=1e-12)
    size: int = option(28, "side of a picture: 2 stages up from 7, or 4 from 4", choices=(28, 64))
    channels: int = option(1, "1 for grey pictures, 3 for RGB", choices=(1, 3))
    width: int = option(0, "channels next to the picture; 0: 16, or 128 for 64 x 64", minimum=0)
    hidden: int = option(512, "units of G's hidden dense layer, twice D's; 0: none", minimum=0)
    upsample: str = option("transposed", "how G grows a picture", choices=("transposed", "nearest"))
    latent: int = option(100, "length of the latent vector z", minimum=1)
    average: float = option(0.998, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class DCGAN(training.Model):
    """G doubles the side and halves the channels, stage by stage; D is its mirror."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        side, stages, width = (7, 2, 16) if settings.size == 28 else (4, 4, 128)
        width, hidden = settings.width or width, settings.hidden
        widths = [shape[-1]] + [width * 2**stage for stage in range(stages)]  # 1, 16, 32 for 28
        self.G = generator(settings.latent, side, widths[::-1], settings.upsample, rng, hidden)
        self.D = discriminator(side, widths, rng, hidden // 2)
        self.opt_G = Adam(self.G.params(), settings.lr_G, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))
        self.G_average = EMA(self.G, settings.average) if settings.average else None

    @staticmethod
    def load_data(settings):
        options = {"data_dir": settings.data_dir or None, "hold_out": settings.hold_out}
        options |= {"size": settings.size, "channels": settings.channels, "seed": settings.seed}
        return data.load_images(settings.data, **options).images

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, H, W, C)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z)))
        fake, _ = self.G.forward(self.noise(len(real)))
        real_logits, real_tape = self.D.forward(real)  # alone: batch norm must not mix them
        fake_logits, fake_tape = self.D.forward(fake)  # (N, 1)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G ascends log D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)  # (N, 1)
        loss, d_logits = losses.nonsaturating_generator(logits)
        d_fake, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        if self.G_average:
            self.G_average.update()
        return loss

    def equilibrium(self):
        return {"D": 2 * math.log(2), "G": math.log(2)}  # D(x) = 1/2 everywhere

    def generate(self, z):
        return self.G_average.net(z) if self.G_average else self.G(z)


def generator(latent, side, widths, upsample, rng, hidden=0):
    """z (N, latent) -> (N, side, side, widths[0]) -> twice the side, stage by stage -> pictures."""
    layers, drawn = [], {"rng": rng, "initialize": normal}
    if hidden:
        layers = [Dense(latent, hidden, bias=False, **drawn), BatchNorm(hidden), ReLU()]
    layers += [
        Dense(hidden or latent, side * side * widths[0], bias=False, **drawn),
        Reshape(side, side, widths[0]), BatchNorm(widths[0]), ReLU(),
    ]  # fmt: skip
    for stage, (before, after) in enumerate(zip(widths, widths[1:], strict=False), start=2):
        last = stage == len(widths)
        if upsample == "nearest":
            grow = [Upsample(2), Conv2d(before, after, 3, padding=1, bias=last, **drawn)]
        else:
            grow = [ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=last, **drawn)]
        # where a batch norm follows, its beta is the bias
        layers += [*grow, Tanh()] if last else [*grow, BatchNorm(after), ReLU()]
    return Sequential(*layers)


def discriminator(side, widths, rng, hidden=0):
    """Pictures -> half the side, stage by stage -> (N, side, side, widths[-1]) -> logits (N, 1)."""
    layers, drawn = [], {"rng": rng, "initialize": normal}
    for stage, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        first = stage == 0
        layers.append(Conv2d(before, after, 4, stride=2, padding=1, bias=first, **drawn))
        layers += [LeakyReLU(0.2)] if first else [BatchNorm(after), LeakyReLU(0.2)]
    features, layers = side * side * widths[-1], [*layers, Flatten()]
    if hidden:
        layers += [Dense(features, hidden, bias=False, **drawn), BatchNorm(hidden), LeakyReLU(0.2)]
    return Sequential(*layers, Dense(hidden or features, 1, **drawn))


if __name__ == "__main__":
    training.main(DCGAN, Settings, commands=[arithmetic])
