"""PacGAN (Lin et al. 2018, "The power of two samples in generative adversarial networks").

    D ascends  E log D(x_1, ..., x_m) + E log(1 - D(G(z_1), ..., G(z_m)))
    G ascends  E log D(G(z_1), ..., G(z_m))

D judges m samples at once, of which all are real or none is. A generator that lost modes betrays
itself: among its pairs are more that are alike than among real ones. In the code it is one layer,
`Pack(m)`, before the first of D. With --pack 1 it is the plain GAN, from which the other examples
of this folder start, too. docs/mode_collapse.md compares them.

    python examples/collapse/pacgan.py                         # pairs, on the ring
    python examples/collapse/pacgan.py --data grid --pack 1    # the plain GAN, on the grid
    python examples/collapse/pacgan.py --lr-D 4e-4             # two time scales
    python examples/collapse/pacgan.py --average 0.999         # samples of G's average
"""

import functools
from dataclasses import dataclass

import numpy as np

from scratchgan import losses, plots, training, xp
from scratchgan.data import mixtures
from scratchgan.examples import gan
from scratchgan.initializers import normal
from scratchgan.layers import BatchNorm, Dense, Maxout, Pack, ReLU, Sequential, functions
from scratchgan.metrics import modes
from scratchgan.optim import Adam
from scratchgan.training import option

Dense = functools.partial(Dense, initialize=functools.partial(normal, std=0.02))


@dataclass
class Protocol(training.Settings):
    """The paper's protocol for Gaussians (section 4.1), but for steps: 400,000 there."""

    steps: int = option(10_000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(100, "real points in a training step; in PacGAN, packs", minimum=2)
    lr: float = option(1e-4, "learning rate", minimum=1e-12)
    lr_D: float = option(0.0, "learning rate of D; 0: G's (Heusel et al. 2017)", minimum=0)
    beta1: float = option(0.8, "decay of Adam's average of gradients", minimum=0, maximum=0.999)
    average: float = option(0.0, "decay of G's average; 0: none", minimum=0, maximum=0.99999)
    data: str = option("ring", "8 Gaussians on a circle, or 25 on a grid", choices=("ring", "grid"))
    latent: int = option(2, "length of the latent vector z", minimum=1)
    width: int = option(400, "features of G's hidden layers; D's have half as many", minimum=2)
    sample_every: int = option(1000, "steps from one frame of the animation to the next", minimum=1)


@dataclass
class Settings(Protocol):
    pack: int = option(2, "samples that D judges as one", minimum=1)


class PlainGAN(gan.GAN):
    """The game of `gan.py`. G: 2-400-400-400-400-2, ReLU; D: 2-200-200-200-1, maxout of 5."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        betas = settings.beta1, 0.999
        self.opt_G = Adam(self.G.params(), settings.lr, betas=betas)
        self.opt_D = Adam(self.D.params(), settings.lr_D or settings.lr, betas=betas)

    def networks(self, shape, rng):
        width = self.settings.width
        return generator(self.settings.latent, width, rng), discriminator(2, width // 2, rng)

    def objectives(self):
        return losses.nonsaturating_discriminator, losses.nonsaturating_generator

    @staticmethod
    def load_data(settings):
        return mixture(settings.data).sample(100_000, np.random.default_rng(settings.seed))

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def mixture(self):
        return mixture(self.settings.data)

    def picture(self, z):
        real = self.mixture()
        title = ", ".join(f"{name} {value:.3g}" for name, value in self.report().items())
        points = real.sample(1000, np.random.default_rng(1)), xp.to_host(self.generate(z))
        return plots.plane(*points, surface=self.surface, bounds=real.bounds, title=title)

    def surface(self, x):
        """Return D(x) at points of the plane: (n, 1)."""
        return xp.to_host(functions.sigmoid(self.D(xp.to_device(x))))

    def report(self):
        real = self.mixture()
        fake = xp.to_host(self.generate(xp.to_device(self.latent(2500, np.random.default_rng(0)))))
        near = modes.coverage(fake, real.centers, real.std)
        divergence = modes.divergences(modes.counts(fake, real.centers)).reverse_kl
        return {"modes": near.covered, "high quality": near.high_quality, "reverse KL": divergence}


class PacGAN(PlainGAN):
    """The plain GAN, with a D: (2 m)-200-200-200-1 that sees m samples side by side."""

    def networks(self, shape, rng):
        pack, latent, width = self.settings.pack, self.settings.latent, self.settings.width
        G = generator(latent, width, rng)
        return G, Sequential(Pack(pack), discriminator(2 * pack, width // 2, rng))

    def step(self, batches):
        # D ascends log D(x_1, ..., x_m) + log(1 - D(G(z_1), ..., G(z_m))), G its share with samples
        parts = [xp.to_device(batches.next()) for _ in range(self.settings.pack)]
        real = xp.concatenate(parts)  # (N * pack, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def surface(self, x):
        """Return D(x, ..., x) at points of the plane: (n, 1)."""
        return super().surface(np.repeat(x, self.settings.pack, axis=0))


def generator(latent, width, rng):
    """Four hidden layers; a bias before a batch normalisation would cancel."""
    hidden = []
    for size in (latent, width, width, width):
        hidden += [Dense(size, width, bias=False, rng=rng), BatchNorm(width, momentum=0.05), ReLU()]
    return Sequential(*hidden, Dense(width, 2, rng=rng))


def discriminator(inputs, width, rng):
    """Three hidden layers of `width` features, each the largest of 5 candidates."""
    hidden = []
    for size in (inputs, width, width):
        hidden += [Dense(size, 5 * width, rng=rng), Maxout(5)]
    return Sequential(*hidden, Dense(width, 1, rng=rng))


def mixture(name):
    """Return the paper's ring of 8 Gaussians or its grid of 25."""
    return mixtures.ring(radius=1.0, std=0.01) if name == "ring" else mixtures.grid()


if __name__ == "__main__":
    training.main(PacGAN, Settings)
