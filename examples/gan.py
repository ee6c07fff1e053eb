"""The plain GAN of two perceptrons (Goodfellow et al. 2014, "Generative Adversarial Nets").

    min over G, max over D of  E log D(x) + E log(1 - D(G(z)))                               (eq. 1)

G turns noise z into images; D tells real images from G's; each learns from the other's success.

    python examples/gan.py                          # 1 or 2 minutes on 2 cores: glyphs
    python examples/gan.py --data mnist
    python examples/gan.py --loss minimax           # eq. 1 for G, too: it learns slowly, or not
    python examples/gan.py sample runs/gan --n 64 --out grid.png
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.layers import BatchNorm, Dense, Flatten, LeakyReLU, ReLU, Reshape, Sequential, Tanh
from scratchgan.optim import EMA, Adam
from scratchgan.training import option

LOSSES = {  # the losses of D and of G
    "minimax": (losses.minimax_discriminator, losses.minimax_generator),
    "nonsaturating": (losses.nonsaturating_discriminator, losses.nonsaturating_generator),
    "least-squares": (losses.least_squares_discriminator, losses.least_squares_generator),
    # with nothing here to keep D Lipschitz, the next loss may run away
    "wasserstein": (losses.wasserstein_discriminator, losses.wasserstein_generator),
    "hinge": (losses.hinge_discriminator, losses.hinge_generator),
}
EQUILIBRIA = {  # what the losses are where G draws as the data are, and D can tell nothing
    LOSSES["minimax"]: {"D": 2 * np.log(2), "G": -np.log(2)},  # D(x) = 1/2 everywhere
    LOSSES["nonsaturating"]: {"D": 2 * np.log(2), "G": np.log(2)},
    LOSSES["least-squares"]: {"D": 1 / 4, "G": 1 / 8},  # D(x) = 1/2, a logit here
    LOSSES["wasserstein"]: {"D": 0.0},  # any number may be added to the critic: G's loss tells nothing
    LOSSES["hinge"]: {"D": 2.0},  # any D(x) from -1 to 1, the same everywhere
}


@dataclass
class Settings(training.Settings):
    """The paper leaves most of these open; where these come from: docs/recipes.md."""

    steps: int = option(15_000, "training steps: one is a step of D and a step of G", minimum=1)
    lr: float = option(1e-3, "learning rate", minimum=1e-12)
    sample_every: int = option(1000, "steps from one picture of samples to the next", minimum=1)
    checkpoint_every: int = option(2000, "steps from one checkpoint to the next", minimum=1)
    loss: str = option("nonsaturating", "what D and G play for", choices=tuple(LOSSES))
    latent: int = option(100, "length of the latent vector z", minimum=1)
    average: float = option(0.999, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class GAN(training.Model):
    """G: 100-256-512-784, D: 784-256-256-1, for images of 28 x 28 pixels in [-1, 1]."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = self.networks(shape, rng)
        self.opt_G = Adam(self.G.params(), settings.lr)
        self.opt_D = Adam(self.D.params(), settings.lr)
        self.G_average = EMA(self.G, settings.average)  # it draws the samples; with 0, G itself
        self.discriminator_loss, self.generator_loss = self.objectives()

    def networks(self, shape, rng):
        pixels = int(np.prod(shape))
        G = Sequential(
            Dense(self.settings.latent, 256, rng=rng), BatchNorm(256), ReLU(),
            Dense(256, 512, rng=rng), BatchNorm(512), ReLU(),
            Dense(512, pixels, rng=rng), Tanh(),
            Reshape(*shape),
        )  # fmt: skip
        D = Sequential(
            Flatten(),
            Dense(pixels, 256, rng=rng), LeakyReLU(0.2),
            Dense(256, 256, rng=rng), LeakyReLU(0.2),
            Dense(256, 1, rng=rng),  # a logit: the losses hold the sigmoid
        )  # fmt: skip
        return G, D

    def objectives(self):
        """Return the losses of D and of G that `--loss` names; each states its equation."""
        return LOSSES[self.settings.loss]

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, H, W, C)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z))), or what else the loss says
        fake, _ = self.G.forward(self.noise(len(real)))  # D alone learns here: no tape of G
        real_logits, real_tape = self.D.forward(real)  # (N, 1)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = self.discriminator_loss(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)  # the two add up
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G ascends log D(G(z)), or what else the loss says
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)  # (N, 1)
        loss, d_logits = self.generator_loss(logits)
        d_fake, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def equilibrium(self):
        return EQUILIBRIA.get(self.objectives(), {})

    def generate(self, z):
        return self.G_average.net(z)


if __name__ == "__main__":
    training.main(GAN, Settings)
