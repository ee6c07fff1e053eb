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

from dataclasses import dataclass

from scratchgan import losses, training
from scratchgan.examples import gan, wgan_gp
from scratchgan.layers import Conv2d, Dense, Flatten, LeakyReLU, Sequential
from scratchgan.training import option
from scratchgan.weights import spectral_norm


@dataclass
class Settings(training.Settings):
    """Setting C of the paper's table 1: Adam(2e-4, 0.5, 0.999), one step of D for a step of G."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(64, "channels of the stage next to the picture", minimum=1)
    average: float = option(0.0, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class SNGAN(gan.GAN):
    """The game of `gan.py` with hinge losses, G of `wgan_gp.py`, and D of W / sigma(W)."""

    def networks(self, shape, rng):
        G = wgan_gp.generator(self.settings, shape, rng)
        D = discriminator(self.settings.width, shape, rng)
        return G, spectral_norm(D, rng=rng)  # every W becomes W / sigma(W); the layers do not know

    def objectives(self):
        # D descends max(0, 1 - D(x)) + max(0, 1 + D(G(z))); G ascends D(G(z))
        return losses.hinge_discriminator, losses.hinge_generator


def discriminator(width, shape, rng):
    """Pictures -> 14 x 14 -> 7 x 7 -> logits (N, 1), by pairs of convolutions (table 3)."""
    small, large = width, 2 * width
    return Sequential(
        Conv2d(shape[-1], small, 3, padding=1, rng=rng), LeakyReLU(0.1),
        Conv2d(small, small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
        Conv2d(small, large, 3, padding=1, rng=rng), LeakyReLU(0.1),
        Conv2d(large, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
        Flatten(), Dense(7 * 7 * large, 1, rng=rng),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(SNGAN, Settings)
