"""Super-resolution: 4 x 4 pixels for one (Ledig et al. 2017, "Photo-Realistic Single Image ...").

SRResNet enlarges 8 x 8 pixels to 32 x 32. It is trained by the mean square error alone, whose best
answer, where several are possible, is their mean: a blur. G starts as a copy, and plays against D:

    SRResNet descends  |y - SRResNet(x)|^2
    D ascends          log D(y) + log(1 - D(G(x)))
    G descends         |y - G(x)|^2 - 0.01 log D(G(x))

    python examples/translation/srgan.py
    python examples/translation/srgan.py table runs/srgan   # beside bicubic; needs a classifier
    python examples/translation/srgan.py --data photos      # scikit-image's: docs/super_resolution.md
"""

import functools
from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.layers import BatchNorm, Conv2d, Dense, Flatten, PixelShuffle, Residual, Sequential
from scratchgan.layers.activations import LeakyReLU, PReLU
from scratchgan.metrics import classifier
from scratchgan.optim import Adam, cosine
from scratchgan.training import enlarging, option


@dataclass
class Settings(training.Settings):
    """The paper's, but for 4 blocks of 32 channels in place of 16 of 64, and 4,000 steps."""

    steps: int = option(4000, "training steps, of SRResNet and then of G", minimum=1)
    pretraining: int = option(2500, "of these, steps of SRResNet", minimum=1)
    batch_size: int = option(16, "pictures in a training step", minimum=1)
    lr: float = option(2e-4, "learning rate of G and D", minimum=1e-12)
    lr_first: float = option(1e-3, "SRResNet's first learning rate; it falls to 0", minimum=1e-12)
    data: str = option("glyphs", "data set: glyphs, photos (of scikit-image), or a folder")
    channels: int = option(1, "of photographs and folders: 1 for grey, 3 for RGB", choices=(1, 3))
    width: int = option(32, "channels of a layer", minimum=1)
    blocks: int = option(4, "residual blocks", minimum=1)
    content: str = option("pixels", "what of G(x) shall be y's", choices=("pixels", "lenet"))
    adversarial: float = option(0.01, "weight of G's adversarial loss", minimum=0)


class SRGAN(enlarging.Enlarger):
    """SRResNet and G: (N, h, w, C) to (N, 4 h, 4 w, C). D: (N, 32, 32, C) to a logit."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.SRResNet, self.G = (enlarger(settings, shape[-1], rng) for _ in range(2))
        self.D = critic(settings.width, shape, rng)
        falling = cosine(settings.lr_first, settings.pretraining)
        self.opt_R = Adam(self.SRResNet.params(), falling, betas=(0.9, 0.999))
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.9, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.9, 0.999))
        self.taken = 0  # steps

    def step(self, batches):
        y, x = (xp.to_device(data.to_signed(images)) for images in batches.next())
        x, self.taken = enlarging.low(x), self.taken + 1  # (N, 8, 8, C)
        if self.taken <= self.settings.pretraining:
            return {"MSE": self.pretraining_step(x, y)}
        if self.taken == self.settings.pretraining + 1:
            become(self.G, self.SRResNet)
        fake, G_tape = self.G.forward(x)  # serves both steps
        return {"D": self.discriminator_step(y, fake)} | self.generator_step(y, fake, G_tape)

    def pretraining_step(self, x, y):
        # SRResNet descends |y - SRResNet(x)|^2
        mean, tape = self.SRResNet.forward(x)
        loss, d_mean = losses.l2(mean, y)
        self.SRResNet.accumulate(tape, d_mean)  # into SRResNet
        self.opt_R.step()
        return loss

    def discriminator_step(self, y, fake):
        # D ascends log D(y) + log(1 - D(G(x)))
        real_logits, real_tape = self.D.forward(y)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, y, fake, G_tape):
        # G descends |y - G(x)|^2 - 0.01 log D(G(x))
        content, d_content = self.content(y, fake)
        logits, D_tape = self.D.forward(fake)  # by D's new weights
        loss, d_logits = losses.nonsaturating_generator(logits)
        d_fooled, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.G.accumulate(G_tape, d_content + self.settings.adversarial * d_fooled)  # into G
        self.opt_G.step()
        return {"content": content, "G": loss}

    def content(self, y, fake):
        """Return how far a fake is from y, squared, and the gradient of that."""
        if self.settings.content == "pixels":
            return losses.l2(fake, y)
        f = lenet_features()
        seen, tape = f.forward(fake, train=False)
        loss, d_seen = losses.l2(seen, f(y))
        return loss / 8, f.pull(tape, d_seen / 8)[0]  # through f; 1/8: as large as of pixels

    def enlargers(self):
        trained = {"SRResNet": self.SRResNet, "SRGAN": self.G}
        return trained if self.taken > self.settings.pretraining else {"SRResNet": self.SRResNet}


def become(net, other):
    """Make a network a copy of another: its weights, and the statistics of its batch norms."""
    for own, theirs in zip(net.params(), other.params(), strict=True):
        own.value[...] = theirs.value
    arrays = net.named_arrays()
    for path, theirs in other.named_arrays().items():
        arrays[path][...] = theirs


def enlarger(settings, channels, rng):
    """Return SRResNet: residual blocks at 8 x 8, then twice PixelShuffle; no tanh at the end."""
    w, blocks = settings.width, range(settings.blocks)
    conv = lambda before, after, side: Conv2d(before, after, side, padding=side // 2, rng=rng)
    block = lambda: Sequential(conv(w, w, 3), BatchNorm(w), PReLU(w), conv(w, w, 3), BatchNorm(w))
    twice = lambda: (conv(w, 4 * w, 3), PixelShuffle(2), PReLU(w))
    deep = Sequential(*(Residual(block()) for _ in blocks), conv(w, w, 3), BatchNorm(w))
    first, last = (conv(channels, w, 5), PReLU(w)), conv(w, channels, 5)
    return Sequential(*first, Residual(deep), *twice(), *twice(), last)


def critic(w, shape, rng):
    """Return D: side 32 to 16 to 8, w and then 2 w channels, to a logit."""
    (H, W_, C), drawn = shape, {"padding": 1, "rng": rng}
    conv = lambda before, after, stride: Conv2d(before, after, 3, stride=stride, **drawn)
    return Sequential(
        conv(C, w, 2), LeakyReLU(0.2), conv(w, w, 1), BatchNorm(w), LeakyReLU(0.2),
        conv(w, 2 * w, 2), BatchNorm(2 * w), LeakyReLU(0.2),
        conv(2 * w, 2 * w, 1), BatchNorm(2 * w), LeakyReLU(0.2),
        Flatten(), Dense(H // 4 * (W_ // 4) * 2 * w, 1, rng=rng),
    )  # fmt: skip


@functools.cache
def lenet_features():
    """Return LeNet up to its second convolution, trained on characters: (N, 16, 16, 32)."""
    return Sequential(*classifier.load("characters").body.layers[:5])


if __name__ == "__main__":
    training.main(SRGAN, Settings, commands=[enlarging.table])
