"""A glyph in a face of which four other glyphs are known: style transfer by AdaIN.

G(c, {s_k}) = decoder(E_c(c), mean_k E_s(s_k)). The content c shows a character in a plain face, the
style glyphs s_k show others of the wanted face f. Their code has no place: after each norm of the
decoder it scales and shifts channels (Huang & Belongie 2017, "Arbitrary Style Transfer in Real-time
with Adaptive Instance Normalization"). The mean over k is FUNIT's (Liu et al. 2019). D is a
projection discriminator of faces:

    D descends  max(0, 1 - D(x, f)) + max(0, 1 + D(G(c, s), f))
    G descends  -D(G(c, s), f) + 30 |x - G(c, s)|_1

x is the true glyph. Ten characters and four faces are in no training data.

    python examples/translation/font_style.py
    python examples/translation/font_style.py recognise runs/font_style
"""

from dataclasses import dataclass

from scratchgan import data, losses, plots, training, xp
from scratchgan.layers import Conv2d, Conv3d, ConvTranspose2d, Dense, Flatten, GlobalAvgPool
from scratchgan.layers.activations import LeakyReLU, ReLU, Tanh
from scratchgan.layers.compose import Each, Residual, Sequential
from scratchgan.layers.condition import Conditional, FiLM, Projection
from scratchgan.layers.norm import InstanceNorm
from scratchgan.optim import Adam, cosine
from scratchgan.training import option
from scratchgan.training.styles import StyleTransfer, recognise
from scratchgan.weights import spectral_norm


@dataclass
class Settings(training.Settings):
    """D learns half as fast as G; both rates fall to 0 on half a cosine."""

    steps: int = option(5000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(16, "glyphs in a training step", minimum=1)
    lr: float = option(1e-3, "learning rate of G's first step", minimum=1e-12)
    data: str = option("glyphs", "data set: only glyphs know their truth", choices=("glyphs",))
    glyphs: int = option(16_000, "glyphs to train on", minimum=1)
    styles: int = option(4, "K: style glyphs of a picture", minimum=1, maximum=16)
    style: int = option(64, "numbers that a style becomes", minimum=1)
    width: int = option(32, "channels of the content at half its side", minimum=2)
    l1: float = option(30.0, "weight of the L1 loss", minimum=0)
    gan: bool = option(True, "a game with D, too; --no-gan: the L1 loss alone")


class FontStyle(StyleTransfer):
    """G: side 28 to 7 and back, told a style in each norm. D: to 7 x 7, and a projection."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        encoders = Each(content_encoder(settings.width, rng), style_encoder(settings.style, rng))
        self.G = Sequential(encoders, decoder(settings.width, settings.style, rng))
        self.D = spectral_norm(discriminator(rng), rng=rng)
        rate, slower = (cosine(lr, settings.steps) for lr in (settings.lr, settings.lr / 2))
        self.opt_G = Adam(self.G.params(), rate, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), slower, betas=(0.5, 0.999))

    def step(self, batches):
        x, inputs, f = (xp.to_device(part) for part in batches.next())
        x, inputs = data.to_signed(x), data.to_signed(inputs)
        fake, G_tape = self.G.forward(self.given(inputs))  # serves both steps
        D = {"D": self.discriminator_step(x, f, fake)} if self.settings.gan else {}
        return D | self.generator_step(x, f, fake, G_tape)

    def discriminator_step(self, x, f, fake):
        # D descends max(0, 1 - D(x, f)) + max(0, 1 + D(G(c, s), f))
        real_logits, real_tape = self.D.forward((x, f))
        fake_logits, fake_tape = self.D.forward((fake, f))
        loss, d_real, d_fake = losses.hinge_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, x, f, fake, G_tape):
        # G descends -D(G(c, s), f) + 30 |x - G(c, s)|_1
        l1, d_fake = losses.l1(fake, x)
        d_fake, told = self.settings.l1 * d_fake, {"L1": l1}
        if self.settings.gan:
            logits, D_tape = self.D.forward((fake, f))  # by D's new weights
            told["G"], d_logits = losses.hinge_generator(logits)
            (d_fooled, _), _ = self.D.pull(D_tape, d_logits)  # through D, not into D; f has none
            d_fake = d_fake + d_fooled
        self.G.accumulate(G_tape, d_fake)  # into the decoder and both encoders
        self.opt_G.step()
        return told

    def translate(self, x):
        return self.G(self.given(x))

    def walk(self, z, steps):
        """Draw the first glyph of each walk: its style goes on a line to the style of the last."""
        encode, decode = self.G.layers
        content, style = encode(self.given(z[..., :-1]))  # (N, 7, 7, 2 width), (N, style)
        ends = content[::steps], style[::steps], style[steps - 1 :: steps]
        content, first, last = (xp.repeat(part, steps, axis=0) for part in ends)
        t = xp.tile(xp.linspace(0, 1, steps, dtype="float32"), len(z) // steps)[:, None]
        pictures = decode((content, (1 - t) * first + t * last))
        return plots.grid(data.to_bytes(xp.to_host(pictures)), columns=steps)


def content_encoder(width, rng):
    """Return E_c: pictures (N, 28, 28, 1) to features (N, 7, 7, 2 width)."""
    halve = {"kernel": 4, "stride": 2, "padding": 1, "rng": rng}
    return Sequential(
        Conv2d(1, width, **halve), InstanceNorm(width), ReLU(),
        Conv2d(width, 2 * width, **halve), InstanceNorm(2 * width), ReLU(),
    )  # fmt: skip


def style_encoder(features, rng):
    """Return E_s of each glyph by itself, their mean, and a layer: (N, K, 28, 28, 1) to (N, F)."""
    halve = {"kernel": (1, 4, 4), "stride": (1, 2, 2), "padding": (0, 1, 1), "rng": rng}
    widths = (1, 24), (24, 48), (48, 96)  # sides 14, 7 and 3
    see = [layer for pair in widths for layer in (Conv3d(*pair, **halve), LeakyReLU(0.2))]
    return Sequential(*see, GlobalAvgPool(), Dense(96, features, rng=rng), LeakyReLU(0.2))


def decoder(width, style, rng):
    """Return (features, style) to pictures: two residual blocks and a way up, by AdaIN."""

    def adain(layer, channels):
        return layer, InstanceNorm(channels, affine=False), FiLM(style, channels, rng=rng)

    def block(channels):
        first, second = (Conv2d(channels, channels, 3, padding=1, rng=rng) for _ in range(2))
        return Residual(Conditional(*adain(first, channels), ReLU(), *adain(second, channels)))

    def up(channels):
        layer = ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, rng=rng)
        return *adain(layer, channels // 2), ReLU()

    last = Conv2d(width // 2, 1, 5, padding=2, rng=rng), Tanh()
    return Conditional(block(2 * width), block(2 * width), *up(2 * width), *up(width), *last)


def discriminator(rng):
    """Return D: (pictures, faces) to logits (N, 1)."""
    look = {"padding": 1, "rng": rng}
    return Conditional(
        Conv2d(1, 24, 4, stride=2, **look), LeakyReLU(0.1),
        Conv2d(24, 48, 4, stride=2, **look), LeakyReLU(0.1),
        Conv2d(48, 48, 3, **look), LeakyReLU(0.1), Flatten(), Projection(7 * 7 * 48, 20, rng=rng),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(FontStyle, Settings, commands=[recognise])
