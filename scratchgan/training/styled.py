"""What a StyleGAN2 is made of: networks, a Model whose samples have styles, and commands that exchange them."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from scratchgan import plots, xp
from scratchgan.initializers import he
from scratchgan.layers import (
    Blur,
    Conditional,
    Constant,
    Conv2d,
    Dense,
    Each,
    Flatten,
    Fork,
    LeakyReLU,
    MinibatchStd,
    ModulatedConv2d,
    Noise,
    PixelNorm,
    Residual,
    Row,
    Sequential,
    Tanh,
    Upsample,
)
from scratchgan.training import drawing
from scratchgan.training.command import load, output, parse_run, write
from scratchgan.training.model import Model, in_pieces
from scratchgan.training.settings import option

# ---- networks --------------------------------------------------------------------------------------------


def mapping(latent, rng):
    """z (N, latent) -> w (N, latent); z is normalised first (Karras et al. 2019, section 2; 8 layers there)."""
    dense = lambda: Dense(latent, latent, rng=rng)
    return Sequential(PixelNorm(), dense(), LeakyReLU(0.2), dense(), LeakyReLU(0.2))


def synthesis(latent, side, widths, channels, rng):
    """Styles (N, 2 stages, latent) -> pictures, tanh of the sum of what stages draw (Karras et al. 2020, section 4.1).

    widths: a stage's channels; each stage has twice the side of the one before. Style 0 is for the first stage's
    convolution, 2 k - 1 and 2 k are for the two of stage k. What makes pixels of a stage shares the style with the
    convolution that comes next, as in the authors' code; the last one has a style of its own.
    """
    told = lambda i, layer: Sequential(Each(Sequential(), Row(i)), layer)  # styles[:, i]
    modulated = partial(ModulatedConv2d, features=latent, rng=rng)

    def convolution(i, before, after):
        H = side * 2 ** ((i + 1) // 2)
        layer = modulated(before, after, 3, padding=1, gain=2**0.5)  # the LeakyReLU halves the variance, nearly
        return told(i, layer), Noise(H, H, rng=rng), LeakyReLU(0.2)

    def from_stage(k):
        """What stage k has counted -> what it and the later ones draw, enlarged to the last one's side."""
        pixels = told(2 * k + 1, modulated(widths[k], channels, 1, demodulate=False))
        if k == len(widths) - 1:
            return pixels
        before, after = widths[k : k + 2]
        convolutions = *convolution(2 * k + 1, before, after), *convolution(2 * k + 2, after, after)
        later = Conditional(*enlarged(1), *convolutions, from_stage(k + 1))
        return Residual(later, Conditional(pixels, *enlarged(len(widths) - 1 - k)))

    start = Fork(Constant(side, side, widths[0], rng=rng), Sequential())
    return Sequential(start, Conditional(*convolution(0, widths[0], widths[0]), from_stage(0)), Tanh())


def enlarged(times):
    """Return layers that make a picture so many times twice as large, without aliases."""
    return [layer for _ in range(times) for layer in (Upsample(2), Blur((1, 2, 1)))]


def discriminator(side, widths, channels, group, rng):
    """Pictures -> logits (N, 1): a residual block for each stage but the last (Karras et al. 2020, section 4.1).

    group: so many samples of a batch are compared, a divisor of its size.
    """
    first, last = widths[-1], widths[0]
    layers = [Dense(channels, first, rng=rng), LeakyReLU(0.2)]  # 1 x 1
    for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
        layers.append(halved(before, after, rng))
    return Sequential(
        *layers, MinibatchStd(group), Conv2d(last + 1, last, 3, padding=1, rng=rng), LeakyReLU(0.2), Flatten(),
        Dense(side * side * last, last, rng=rng), LeakyReLU(0.2), Dense(last, 1, rng=rng),
    )  # fmt: skip


def halved(before, after, rng):
    """Return a residual block: half the side. Both branches are divided by sqrt(2), by their last weights."""
    scaled = lambda gain: lambda shape, rng: gain * he(shape, rng)
    body = Sequential(
        Conv2d(before, before, 3, padding=1, rng=rng), LeakyReLU(0.2), Blur((1, 2, 1)),
        Conv2d(before, after, 3, stride=2, padding=1, rng=rng, initialize=scaled(0.5**0.5)), LeakyReLU(0.2),
    )  # fmt: skip
    # No LeakyReLU, which halves the variance, stands behind the other branch: He's weights, over sqrt(2) once more.
    shortcut = Dense(before, after, bias=False, rng=rng, initialize=scaled(0.5))
    return Residual(body, Sequential(Blur((1, 2, 1), stride=2), shortcut))


# ---- the model -------------------------------------------------------------------------------------------


class StyledModel(Model):
    """A GAN whose samples have a style for each layer: it has f and g, their averages, `styles`, and `w_mean`.

    f: z (N, latent) to w (N, latent); g: styles (N, styles, latent) to pictures; w_mean: the mean of w, (latent,).
    """

    def generate(self, z):
        return self.drawn(self.styles_of(z))

    def styles_of(self, z, psi=1.0):
        """Return w for all layers, (N, styles, latent); psi draws w to its mean (Karras et al. 2019, appendix B)."""
        w = self.w_mean + psi * (self.f_average.net(z) - self.w_mean)
        return xp.repeat(w[:, None], self.styles, axis=1)

    def drawn(self, styles):
        """Return the pictures of styles, on the device; each time with the same noise."""
        return self.g_average.net(styles)

    def pictures(self, styles):
        """Return the pictures of styles: uint8 (N, H, W, C), on the host."""
        return in_pieces(lambda some: self.drawn(styles[some]), len(styles))


# ---- the commands `mix` and `truncate` -------------------------------------------------------------------


@dataclass
class MixOptions:
    n: int = option(6, "how many samples stand on the left, and above", minimum=1, maximum=100)
    layers: int = option(3, "how many styles, from the first one on, are those of the sample on the left", minimum=0)
    seed: int = option(0, "the latent vectors follow from it", minimum=0)
    psi: float = option(1.0, "truncation: w becomes mean + psi (w - mean)", minimum=-2, maximum=2)
    scale: int = option(2, "times that each pixel is drawn, in both directions", minimum=1, maximum=64)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture to write (default: RUN/mix.png)")


def mix(Model, Settings, program, argv):
    """Draw samples whose coarse styles are those of the sample on the left, and whose fine ones of the one above."""
    run, options = parse_run(program, "mix", mix.__doc__, MixOptions, argv)
    out = output(options, run, "mix.png")
    model, n = load(Model, Settings, run, options), options.n
    drawing.check(model, (n + 1) ** 2, (n + 1, n + 1), options.scale, out, "--n")
    z = xp.to_device(model.latent(2 * n, np.random.default_rng(options.seed)))
    styles = model.styles_of(z, options.psi)
    left, above = styles[:n], styles[n:]
    coarse = xp.arange(model.styles)[:, None] < options.layers
    pictures = [np.zeros((1, *model.shape), np.uint8), model.pictures(above)]  # the corner is black
    for own in left:
        pictures += [model.pictures(own[None]), model.pictures(xp.where(coarse, own, above))]
    write(drawing.enlarge(plots.grid(np.concatenate(pictures), n + 1), options.scale), out)


@dataclass
class TruncateOptions:
    n: int = option(10, "how many samples: columns", minimum=1, maximum=1000)
    seed: int = option(0, "the latent vectors follow from it", minimum=0)
    scale: int = option(2, "times that each pixel is drawn, in both directions", minimum=1, maximum=64)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture to write (default: RUN/truncate.png)")


def truncate(Model, Settings, program, argv):
    """Draw samples with psi = 1, 0.7, 0.5, 0 and -1, a row each (Karras et al. 2019, figure 8): 0 is the mean w."""
    run, options = parse_run(program, "truncate", truncate.__doc__, TruncateOptions, argv)
    out = output(options, run, "truncate.png")
    model = load(Model, Settings, run, options)
    psis = (1, 0.7, 0.5, 0, -1)
    drawing.check(model, len(psis) * options.n, (len(psis), options.n), options.scale, out, "--n")
    z = xp.to_device(model.latent(options.n, np.random.default_rng(options.seed)))
    rows = [model.pictures(model.styles_of(z, psi)) for psi in psis]
    write(drawing.enlarge(plots.grid(np.concatenate(rows), options.n), options.scale), out)
