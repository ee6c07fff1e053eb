"""A hole filled from what is around it (Pathak et al. 2016, "Context Encoders ...").

An encoder makes 128 numbers of the context, and a decoder makes of these the hole with a band
around it. The band is seen, too, and weighs 10 times: there the patch shall meet the picture. D
sees patches alone, never the context: the seam would give G away.

    D ascends   log D(y) + log(1 - D(G(x)))
    G descends  0.999 E w (G(x) - y)^2 - 0.001 log D(G(x)),  w = 1 in the hole, 10 in the band

x: a picture whose hole has the colour that training pictures have on average; y: the patch of it.

    python examples/translation/inpainting.py
    python examples/translation/inpainting.py --no-gan            # the mean of what could be there
    python examples/translation/inpainting.py --data mnist
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.data import photos
from scratchgan.data.holes import hide, middle
from scratchgan.examples import dcgan
from scratchgan.initializers import normal
from scratchgan.layers import BatchNorm, Dense, LeakyReLU, Sequential
from scratchgan.optim import Adam
from scratchgan.support.errors import SettingsError
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """The authors', for a hole of 14 x 14 in 28 x 28; G's learning rate is 10 times D's."""

    steps: int = option(3000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(64, "pictures in a training step", minimum=2)  # for the code's norm
    data: str = option("glyphs", "glyphs, mnist, photos (scikit-image), or a folder of 200 or more")
    size: int = option(28, "side of a picture", minimum=8)
    channels: int = option(1, "1 for grey pictures, 3 for RGB", choices=(1, 3))
    hole: int = option(14, "side of the hole in the middle", minimum=1)
    band: int = option(1, "pixels around the hole that G shall make, too", minimum=0)
    halvings: int = option(2, "times that networks halve, or double, a side", minimum=1, maximum=8)
    width: int = option(16, "channels next to the picture", minimum=1)
    code: int = option(128, "numbers that the context becomes", minimum=1)
    gan: bool = option(True, "a game with D, too; --no-gan: the squared error alone")
    adversarial: float = option(0.001, "what D's opinion weighs", minimum=0, maximum=1)

    def __post_init__(self):
        super().__post_init__()
        patch, small = self.hole + 2 * self.band, 2**self.halvings
        middle(self.size, self.hole)  # or a DataError says why it has no place
        if patch > self.size:
            raise SettingsError(f"--hole {self.hole} and a --band of {self.band} on each side are "
                                f"more than --size {self.size}.")  # fmt: skip
        if self.size % small or patch % small:
            raise SettingsError(f"--halvings {self.halvings} needs multiples of {small}: --size is "
                                f"{self.size}, and hole and band are {patch} pixels.")  # fmt: skip


class ContextEncoder(training.Translation):
    """G: a picture with a hole to the patch that covers it. D: a patch to a logit (N, 1)."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        widths = [shape[-1]] + [settings.width * 2**stage for stage in range(settings.halvings)]
        drawn, small = {"rng": rng, "initialize": normal}, 2**settings.halvings
        side, patch = settings.size // small, (settings.hole + 2 * settings.band) // small
        self.G = Sequential(
            *dcgan.discriminator(side, widths, rng).layers[:-1],
            Dense(side**2 * widths[-1], settings.code, **drawn),
            BatchNorm(settings.code), LeakyReLU(0.2),  # (N, 128): all that the decoder knows
            dcgan.generator(settings.code, patch, widths[::-1], "transposed", rng),
        )  # fmt: skip
        self.D = dcgan.discriminator(patch, widths, rng)
        self.opt_G = Adam(self.G.params(), 10 * settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))

    @property
    def classes(self):
        return self.settings.data if self.settings.data in data.NAMES else None

    @staticmethod
    def load_pairs(settings, split):
        found = load_pictures(settings, split)
        train = found if split == "train" else load_pictures(settings, "train")
        colour = train.images.mean(axis=(0, 1, 2))  # (C,)
        return data.Pairs(hide(found.images, settings.hole, colour), found.images, found.labels)

    def step(self, batches):
        y, x = (xp.to_device(data.to_signed(images)) for images in batches.next())
        y = y[middle(self.settings.size, self.settings.hole + 2 * self.settings.band)]
        fake, G_tape = self.G.forward(x)  # (N, 16, 16, C); serves both steps
        D = {"D": self.discriminator_step(y, fake)} if self.settings.gan else {}
        return D | self.generator_step(y, fake, G_tape)

    def discriminator_step(self, y, fake):
        # D ascends log D(y) + log(1 - D(G(x)))
        real_logits, real_tape = self.D.forward(y)  # (N, 1)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, y, fake, G_tape):
        # G descends 0.999 E w (G(x) - y)^2 - 0.001 log D(G(x))
        w, share = band_weights(self.settings, y.dtype), self.settings.adversarial
        l2, d_fake = (w * (fake - y) ** 2).mean(), w * (fake - y) * (2 / fake.size)
        told = {"L2": l2}
        if self.settings.gan:
            logits, D_tape = self.D.forward(fake)  # by D's new weights
            told["G"], d_logits = losses.nonsaturating_generator(logits)
            d_fooled, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
            d_fake = (1 - share) * d_fake + share * d_fooled
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        return told

    def translate(self, x):
        side, hole = self.settings.hole + 2 * self.settings.band, self.settings.hole
        filled = x.copy()  # what is around the hole stays as it is
        filled[middle(self.settings.size, hole)] = self.G(x)[middle(side, hole)]
        return filled

    def comparisons(self, n):
        whole = super().comparisons(n)[""]
        inside = middle(self.settings.size, self.settings.hole)
        return {"": whole, "hole": training.Comparison(*(part[inside] for part in whole[:3]))}


def band_weights(settings, dtype):
    """Return what the squared error of each pixel weighs: 1 in the hole, 10 in the band."""
    side = settings.hole + 2 * settings.band
    w = xp.full((1, side, side, 1), 10, dtype)
    w[middle(side, settings.hole)] = 1
    return w


def load_pictures(settings, split):
    """Return the pictures of one split; a folder's test pictures are one in ten."""
    n = 10_000 if split == "train" else 2000  # glyphs, or patches of photographs
    options = {"size": settings.size, "channels": settings.channels, "seed": settings.seed}
    if settings.data == "photos":
        return data.Images(photos.load(n, split=split, **options))
    options |= {"data_dir": settings.data_dir or None, "hold_out": True, "count": n}
    return data.load_images(settings.data, split=split, **options)


if __name__ == "__main__":
    training.main(ContextEncoder, Settings)
