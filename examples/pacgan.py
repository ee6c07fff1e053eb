"""PacGAN (Lin, Khetan, Fanti, Oh 2018, "PacGAN: The power of two samples in generative adversarial networks").

    D ascends  E log D(x_1, ..., x_m) + E log(1 - D(G(z_1), ..., G(z_m)));   G ascends  E log D(G(z_1), ..., G(z_m))

D judges m samples at once, of which all are real or none is. A generator that lost modes betrays itself: among its
pairs are more that are alike than among real ones. In the code it is one layer, `Pack(m)`, before the first of D.
With --pack 1 it is the plain GAN. docs/mode_collapse.md compares them.

    python examples/pacgan.py                         # pairs, on the ring
    python examples/pacgan.py --pack 1                # the plain GAN
    python examples/pacgan.py --data grid
    python examples/pacgan.py --lr-D 4e-4             # two time scales: another learning rate for D
    python examples/pacgan.py --average 0.999         # samples from the average of G's weights
"""

import functools
from dataclasses import dataclass

import numpy as np

from scratchgan import losses, plots, training, xp
from scratchgan.data import mixtures
from scratchgan.initializers import normal
from scratchgan.layers import BatchNorm, Dense, Maxout, Pack, ReLU, Sequential
from scratchgan.layers.pointwise import sigmoid
from scratchgan.metrics import modes
from scratchgan.optim import EMA, Adam
from scratchgan.training import option

Dense = functools.partial(Dense, initialize=functools.partial(normal, std=0.02))


@dataclass
class Settings(training.Settings):
    """The paper's protocol for Gaussians in the plane (section 4.1), but for steps: 400,000 there."""

    steps: int = option(10_000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(100, "packs of real points in a training step", minimum=2)
    lr: float = option(1e-4, "learning rate", minimum=1e-12)
    lr_D: float = option(0.0, "learning rate of D; 0: that of G (Heusel et al. 2017: two time scales)", minimum=0)
    beta1: float = option(0.8, "decay of Adam's average of gradients", minimum=0, maximum=0.999)
    average: float = option(0.0, "decay of an average of G's weights for samples; 0: none", minimum=0, maximum=0.99999)
    data: str = option("ring", "8 Gaussians on a circle, or 25 on a grid", choices=("ring", "grid"))
    pack: int = option(2, "samples that D judges as one", minimum=1)
    latent: int = option(2, "length of the latent vector z", minimum=1)
    width: int = option(400, "features of G's four hidden layers; D's three have half as many", minimum=2)
    sample_every: int = option(1000, "steps from one frame of the animation to the next", minimum=1)


class PacGAN(training.Model):
    """G: 2-400-400-400-400-2, batch normalisation and ReLU; D: 200-200-200-1, maxout of 5 pieces."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = self.networks(rng)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(settings.beta1, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr_D or settings.lr, betas=(settings.beta1, 0.999))
        self.G_average = EMA(self.G, settings.average)  # with 0, G itself

    def networks(self, rng):
        pack, latent, width = self.settings.pack, self.settings.latent, self.settings.width
        return generator(latent, width, rng), Sequential(Pack(pack), discriminator(2 * pack, width // 2, rng))

    @staticmethod
    def load_data(settings):
        return mixture(settings.data).sample(100_000, np.random.default_rng(settings.seed))  # (N, 2)

    def step(self, batches):
        real = xp.concatenate([xp.to_device(batches.next()) for _ in range(self.settings.pack)])  # (N * pack, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x_1, ..., x_m) + log(1 - D(G(z_1), ..., G(z_m)))
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G ascends log D(G(z_1), ..., G(z_m))
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(logits)
        self.G.backward(G_tape, self.D.backward(D_tape, d_logits, grads=False))
        self.opt_G.step()
        self.G_average.update()
        return loss

    def generate(self, z):
        return self.G_average.net(z)

    def mixture(self):
        return mixture(self.settings.data)

    def picture(self, z):
        real = self.mixture()
        title = ", ".join(f"{name} {value:.3g}" for name, value in self.report().items())
        points = real.sample(1000, np.random.default_rng(1)), xp.to_host(self.generate(z))
        return plots.plane(*points, surface=self.surface, bounds=real.bounds, title=title)

    def surface(self, x):
        """Return D(x), or D(x, ..., x), at points of the plane: (n, 1)."""
        return xp.to_host(sigmoid(self.D(xp.to_device(np.repeat(x, self.settings.pack, axis=0)))))

    def report(self):
        real = self.mixture()
        fake = xp.to_host(self.generate(xp.to_device(self.latent(2500, np.random.default_rng(0)))))
        found = modes.coverage(fake, real.centers, real.std)
        divergence = modes.divergences(modes.counts(fake, real.centers)).reverse_kl
        return {"modes": found.covered, "high quality": found.high_quality, "reverse KL": divergence}


def generator(latent, width, rng):
    """Four hidden layers; a bias before a batch normalisation would cancel."""
    hidden = []
    for inputs in (latent, width, width, width):
        hidden += [Dense(inputs, width, bias=False, rng=rng), BatchNorm(width, momentum=0.05), ReLU()]
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
