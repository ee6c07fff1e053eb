"""Spectral normalisation, hinge losses (Miyato et al. 2018, "Spectral Normalization for GANs").

    W_bar = W / sigma(W), sigma the largest singular value                                   (eq. 8)
    D descends  E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)));   G ascends E D(G(z))    (eq. 16 and 17)

No layer of D can stretch a difference by more than its convolution overlaps, so D's slope is
bounded by construction, whatever the weights: no penalty, no clipping. sigma follows by one power
iteration in each step of the optimizer, and W's gradient includes the path through sigma:
docs/spectral.md.

    python examples/stability/sngan.py                       # glyphs
    python examples/stability/sngan.py --data mnist
"""

import math
from dataclasses import dataclass

from scratchgan import losses, training
from scratchgan.examples import gan, wgan_gp
from scratchgan.initializers import normal
from scratchgan.layers import Conv2d, Dense, Flatten, LeakyReLU, MinibatchStd, Sequential
from scratchgan.optim import Adam
from scratchgan.training import option
from scratchgan.weights import spectral_norm


@dataclass
class Settings(training.Settings):
    """The loss and D's weights are the paper's; the rates and the networks: docs/recipes.md."""

    steps: int = option(10_000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a training step; D compares up to four", minimum=2)
    lr: float = option(5e-4, "learning rate of D", minimum=1e-12)
    lr_G: float = option(1e-3, "learning rate of G", minimum=1e-12)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)
    average: float = option(0.998, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class SNGAN(gan.GAN):
    """The game of `gan.py` with hinge losses, G of `wgan_gp.py`, and D of W / sigma(W).

    D compares samples, too: to one that sees each alone, samples that are all alike look real.
    """

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.opt_G = Adam(self.G.params(), settings.lr_G)

    def networks(self, shape, rng):
        G = wgan_gp.generator(self.settings, shape, rng, initialize=normal, hidden=512)
        D = discriminator(self.settings.width, shape, math.gcd(4, self.settings.batch_size), rng)
        return G, spectral_norm(D, rng=rng)  # every W becomes W / sigma(W); the layers do not know

    def objectives(self):
        # D descends max(0, 1 - D(x)) + max(0, 1 + D(G(z))); G ascends D(G(z))
        return losses.hinge_discriminator, losses.hinge_generator


def discriminator(width, shape, group, rng):
    """Pictures -> 14 x 14 -> 7 x 7 -> logits (N, 1); D sees how much the samples of a group differ."""
    small, large = width, 2 * width
    return Sequential(
        Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
        Conv2d(small, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1), MinibatchStd(group),
        Conv2d(large + 1, large, 3, padding=1, rng=rng), LeakyReLU(0.1),
        Flatten(), Dense(7 * 7 * large, 1, rng=rng),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(SNGAN, Settings)
