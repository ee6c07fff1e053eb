"""The ring of Metz et al. 2017 ("Unrolled Generative Adversarial Networks").

The game and its steps are those of unrolled.py. The data are 8 Gaussians of deviation 0.02 on a
circle of radius 2. G and D have two hidden layers of 128 rectifiers, z has 256 numbers, and G
learns ten times as fast as D. There the plain GAN puts all samples on one mode, moves on to the
next when D has noticed, and never has two of them for long. With 5 steps of D ahead, G knows that D
would notice.

    python examples/collapse/unrolled_ring.py                  # 5 steps ahead: all modes, evenly
    python examples/collapse/unrolled_ring.py --unroll 0       # the plain GAN: mode after mode
"""

import functools
from dataclasses import dataclass

import numpy as np

from scratchgan import training
from scratchgan.data import mixtures
from scratchgan.examples.collapse import unrolled
from scratchgan.initializers import orthogonal
from scratchgan.layers import Dense, ReLU, Sequential
from scratchgan.training import option


@dataclass
class Settings(unrolled.Settings):
    """The paper's problem and rates; fewer steps."""

    steps: int = option(3000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(512, "real points in a training step", minimum=1)
    lr: float = option(1e-3, "learning rate of G", minimum=1e-12)
    lr_D: float = option(1e-4, "learning rate of D; 0: that of G", minimum=0)
    beta1: float = option(0.5, "decay of Adam's average of gradients", minimum=0, maximum=0.999)
    data: str = option("ring", "8 Gaussians on a circle", choices=("ring",))
    latent: int = option(256, "length of the latent vector z", minimum=1)
    width: int = option(128, "features of the hidden layers of G and D", minimum=1)
    sample_every: int = option(250, "steps from one frame of the animation to the next", minimum=1)


class UnrolledRing(unrolled.UnrolledGAN):
    """G: 256-128-128-2, D: 2-128-128-1, both with ReLU."""

    def networks(self, shape, rng):
        latent, width = self.settings.latent, self.settings.width
        return perceptron(latent, width, 2, rng), perceptron(2, width, 1, rng)

    @staticmethod
    def load_data(settings):
        return ring().sample(100_000, np.random.default_rng(settings.seed))  # (N, 2)

    def mixture(self):
        return ring()


def perceptron(inputs, width, outputs, rng):
    """Two hidden layers."""
    drawn = {"rng": rng, "initialize": functools.partial(orthogonal, gain=0.8)}
    return Sequential(
        Dense(inputs, width, **drawn), ReLU(),
        Dense(width, width, **drawn), ReLU(),
        Dense(width, outputs, **drawn),
    )  # fmt: skip


def ring():
    return mixtures.ring(radius=2.0, std=0.02)


if __name__ == "__main__":
    training.main(UnrolledRing, Settings)
