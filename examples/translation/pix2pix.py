"""pix2pix (Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks").

G is a U-Net: it halves the side three times and comes back, and at each size what came down stands
beside what comes up. D sees an input with an output, and says of each patch whether the two belong
together. There is no noise: an input has one output.

    D ascends   1/2 [log D(x, y) + log(1 - D(x, G(x)))]
    G descends  -log D(x, G(x)) + 100 |y - G(x)|_1

By default outlines of glyphs are filled. Inputs, outputs and truths stand side by side.

    python examples/translation/pix2pix.py
    python examples/translation/pix2pix.py --no-gan                # L1 alone
    python examples/translation/pix2pix.py --task hatch            # stripes: many right answers
    python examples/translation/pix2pix.py --data FOLDER --size 64 --channels 3
"""

import math
from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.data import pairs
from scratchgan.initializers import normal
from scratchgan.layers import BatchNorm, Concat, Conv2d, ConvTranspose2d, Join, Sequential
from scratchgan.layers.activations import LeakyReLU, ReLU, Tanh
from scratchgan.optim import Adam
from scratchgan.support.errors import SettingsError
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """The paper's, but for batches of 16 pictures of 32 x 32 in place of 1 of 256 x 256."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(16, "pairs in a training step", minimum=1)
    data: str = option("glyphs", "data set: glyphs, or a folder of pairs (docs/translation.md)")
    task: str = option("fill", "what becomes of glyphs", choices=pairs.TASKS)
    direction: str = option("AtoB", "of a folder of pairs, from which", choices=pairs.DIRECTIONS)
    size: int = option(32, "side of a picture, to be halved three times", choices=(16, 32, 64, 128))
    channels: int = option(1, "1 for grey pictures, 3 for RGB", choices=(1, 3))
    width: int = option(32, "channels next to the picture", minimum=1)
    l1: float = option(100.0, "weight of the L1 loss", minimum=0)
    gan: bool = option(True, "a game with D, too; --no-gan: the L1 loss alone")
    skip: bool = option(True, "skips in G; --no-skip: an encoder and a decoder")
    patch: int = option(2, "times that D halves the side: a logit sees 10, 22 or 46 pixels of it",
                        minimum=1, maximum=3)  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if not (self.gan or self.l1):
            raise SettingsError("--no-gan and --l1 0 leave nothing to learn: leave out one.")


class Pix2Pix(training.Translation):
    """G: side 32 to 4 and back to 32, with skips. D: (x, y) to a logit for each patch."""

    classes = "characters"

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G = unet(shape[-1], settings.width, settings.skip, rng)
        self.D = patches(shape[-1], settings.width, settings.patch, rng)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))

    @staticmethod
    def load_pairs(settings, split):
        options = {"split": split, "size": settings.size, "channels": settings.channels}
        if settings.data == "glyphs":
            return pairs.draw(settings.task, seed=settings.seed, **options)
        options |= {"direction": settings.direction, "hold_out": settings.hold_out}
        return pairs.load(settings.data, **options)

    def step(self, batches):
        y, x = (xp.to_device(data.to_signed(images)) for images in batches.next())
        fake, G_tape = self.G.forward(x)  # serves both steps
        D = {"D": self.discriminator_step(x, y, fake)} if self.settings.gan else {}
        return D | self.generator_step(x, y, fake, G_tape)

    def discriminator_step(self, x, y, fake):
        # D ascends 1/2 [log D(x, y) + log(1 - D(x, G(x)))]; the half slows D down
        real_logits, real_tape = self.D.forward((x, y))  # (N, 7, 7, 1)
        fake_logits, fake_tape = self.D.forward((x, fake))
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, 0.5 * d_real)  # into D
        self.D.accumulate(fake_tape, 0.5 * d_fake)
        self.opt_D.step()
        return 0.5 * loss

    def generator_step(self, x, y, fake, G_tape):
        # G descends -log D(x, G(x)) + 100 |y - G(x)|_1
        l1, d_fake = losses.l1(fake, y)
        d_fake, told = self.settings.l1 * d_fake, {"L1": l1}
        if self.settings.gan:
            logits, D_tape = self.D.forward((x, fake))  # by D's new weights
            told["G"], d_logits = losses.nonsaturating_generator(logits)
            (_, d_fooled), _ = self.D.pull(D_tape, d_logits)  # through D, not into D
            d_fake = d_fake + d_fooled
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        return told

    def equilibrium(self):
        # D = 1/2 everywhere
        return {"D": math.log(2), "G": math.log(2)} if self.settings.gan else {}

    def translate(self, x):
        return self.G(x)  # by running statistics: other pictures do not matter


def unet(channels, width, skip, rng):
    """Return a U-Net of pictures: side 32 -> 16 -> 8 -> 4 and back, w, 2w and 4w channels wide."""
    halves = {"kernel": 4, "stride": 2, "padding": 1, "rng": rng, "initialize": normal}

    def level(outside, inside, *deeper):
        """Return x -> [x, what is seen of x at half its side], which has `outside` channels."""
        grown = 2 * inside if deeper and skip else inside
        there = Sequential(
            LeakyReLU(0.2), Conv2d(outside, inside, **halves), BatchNorm(inside),
            *deeper, ReLU(), ConvTranspose2d(grown, outside, **halves), BatchNorm(outside),
        )  # fmt: skip
        return Concat(Sequential(), there) if skip else there

    middle = level(width, 2 * width, level(2 * width, 4 * width))
    last = ConvTranspose2d(2 * width if skip else width, channels, **halves)
    return Sequential(Conv2d(channels, width, **halves), middle, ReLU(), last, Tanh())


def patches(channels, width, halvings, rng):
    """Return a PatchGAN of pairs (x, y): logits (N, h, w, 1), each of which sees a patch."""
    drawn = {"padding": 1, "rng": rng, "initialize": normal}
    layers, widths = [Join()], [2 * channels] + [width * 2**i for i in range(halvings)]
    for before, after in zip(widths, widths[1:], strict=False):
        layers.append(Conv2d(before, after, 4, stride=2, **drawn))
        layers += [LeakyReLU(0.2)] if before == widths[0] else [BatchNorm(after), LeakyReLU(0.2)]
    return Sequential(*layers, Conv2d(widths[-1], 1, 4, **drawn))


if __name__ == "__main__":
    training.main(Pix2Pix, Settings)
