"""The plain GAN of two small perceptrons, on images (Goodfellow et al. 2014, "Generative Adversarial Nets").

    min over G, max over D of  E log D(x) + E log(1 - D(G(z)))                                (eq. 1)

G turns noise z into images; D tells real images from G's; each learns from the other's success.

    python examples/gan.py                          # two minutes on two CPU cores: glyphs, an embedded set of digits
    python examples/gan.py --data mnist
    python examples/gan.py --loss minimax           # the loss of eq. 1 for G, too: watch it learn slowly, or not at all
    python examples/gan.py sample runs/gan --n 64 --out grid.png
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.layers import Dense, Flatten, LeakyReLU, ReLU, Reshape, Sequential, Tanh
from scratchgan.optim import Adam
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """The paper leaves most of these open; these are what worked best among a few tried on glyphs."""

    steps: int = option(30_000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(128, "real images in a training step", minimum=1)
    sample_every: int = option(1000, "steps from one picture of samples to the next", minimum=1)
    checkpoint_every: int = option(2000, "steps from one checkpoint to the next", minimum=1)
    loss: str = option(
        "nonsaturating", "what D and G play for",
        choices=("minimax", "nonsaturating", "least-squares", "wasserstein", "hinge"),
    )  # fmt: skip
    latent: int = option(100, "length of the latent vector z", minimum=1)


class GAN(training.Model):
    """G: 100-128-784, D: 784-128-1, for images of 28 x 28 pixels in [-1, 1]."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        pixels = int(np.prod(shape))
        self.G = Sequential(
            Dense(settings.latent, 128, rng=rng), ReLU(),
            Dense(128, pixels, rng=rng), Tanh(),
            Reshape(*shape),
        )  # fmt: skip
        self.D = Sequential(
            Flatten(),
            Dense(pixels, 128, rng=rng), LeakyReLU(0.2),
            Dense(128, 1, rng=rng),  # a logit: the losses hold the sigmoid
        )  # fmt: skip
        self.opt_G = Adam(self.G.params(), settings.lr)
        self.opt_D = Adam(self.D.params(), settings.lr)
        self.discriminator_loss, self.generator_loss = objectives(settings.loss)

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, H, W, C)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z))), or what else the loss says
        fake = self.G.forward(self.noise(len(real)))[0]  # G is not trained here: its tape is dropped
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = self.discriminator_loss(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)  # gradients add up
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G ascends log D(G(z)), or what else the loss says
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = self.generator_loss(logits)
        d_fake = self.D.backward(D_tape, d_logits, grads=False)  # through D, not into D
        self.G.backward(G_tape, d_fake)
        self.opt_G.step()
        return loss

    def generate(self, z):
        return self.G(z)


def objectives(loss):
    """Return the losses of D and of G for a choice of `--loss`; each function states its equation."""
    if loss == "minimax":
        return losses.minimax_discriminator, losses.minimax_generator
    if loss == "nonsaturating":
        return losses.nonsaturating_discriminator, losses.nonsaturating_generator
    if loss == "least-squares":
        return losses.least_squares_discriminator, losses.least_squares_generator
    if loss == "wasserstein":  # with nothing here to keep D Lipschitz: the loss may run away
        return losses.wasserstein_discriminator, losses.wasserstein_generator
    return losses.hinge_discriminator, losses.hinge_generator


if __name__ == "__main__":
    training.main(GAN, Settings)
