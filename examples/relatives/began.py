"""BEGAN: D balances what it draws well against what it draws badly (Berthelot et al. 2017).

    L(x) = mean |Dec(Enc(x)) - x| over a picture's pixels and a batch

    D descends  L(x) - k L(G(z_D))
    G descends  L(G(z_G))
    k <- k + lambda (gamma L(x) - L(G(z_G))), within [0, 1]

    M = L(x) + |gamma L(x) - L(G(z_G))|        the authors' measure of convergence

k holds L(G(z)) at gamma L(x). As long as G's samples are easier for D than that, k grows, and D
heeds them more. With a small gamma D cares for real samples first, and G's become less varied: the
easiest of all, which are ones. So gamma is 1 here, and G has batch norm; the paper has neither.

    python examples/relatives/began.py --data mnist
    python examples/relatives/began.py --data mnist --gamma 0.5 --decoder      # as in the paper
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.examples.relatives import ebgan
from scratchgan.layers import Sequential, Tanh
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """The paper has gamma 0.5, lambda 0.001 and a rate of 1e-4, batches of 16, and far more steps."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a training step", minimum=2)
    lr: float = option(1e-3, "learning rate", minimum=1e-12)
    gamma: float = option(1.0, "L(G(z)) / L(x) at the equilibrium", minimum=0, maximum=1)
    gain: float = option(0.02, "lambda: how fast k follows", minimum=0)
    code: int = option(32, "numbers in the autoencoder's code", minimum=1)
    latent: int = option(32, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)
    decoder: bool = option(False, "G is a decoder like D's, without batch norm, as in the paper")


class BEGAN(ebgan.EBGAN):
    """G and D: those of `ebgan.py`, or with `--decoder` a G like D's decoder; z uniform in [-1, 1]."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.k = xp.zeros((), dtype="float32")  # part of a checkpoint, as every attribute is

    def networks(self, shape, rng):
        if not self.settings.decoder:
            return super().networks(shape, rng)
        width, code = self.settings.width, self.settings.code
        G = Sequential(ebgan.decoder(shape, width, self.settings.latent, rng), Tanh())
        return G, ebgan.autoencoder(shape, width, code, rng)

    def latent(self, n, rng):
        """Return n latent vectors, uniform in [-1, 1]: float32 (n, latent)."""
        return 2 * rng.random((n, self.settings.latent), dtype=np.float32) - 1

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        D_loss, real_loss = self.discriminator_step(real)
        G_loss = self.generator_step(len(real))
        balance = self.settings.gamma * real_loss - G_loss
        self.k = xp.asarray(xp.clip(self.k + self.settings.gain * balance, 0, 1))
        return {"D": D_loss, "G": G_loss, "k": self.k, "M": real_loss + xp.abs(balance)}

    def discriminator_step(self, real):
        # D descends L(x) - k L(G(z))
        fake, _ = self.G.forward(self.noise(len(real)))
        real_drawn, real_tape = self.D.forward(real)  # (N, 28, 28, C)
        fake_drawn, fake_tape = self.D.forward(fake)
        real_loss, d_real = losses.l1(real_drawn, real)
        fake_loss, d_fake = losses.l1(fake_drawn, fake)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, -self.k * d_fake)
        self.opt_D.step()
        return real_loss - self.k * fake_loss, real_loss

    def generator_step(self, n):
        # G descends L(G(z)); G(z) is what D starts from, and what it should end with
        fake, G_tape = self.G.forward(self.noise(n))
        drawn, D_tape = self.D.forward(fake)
        loss, d_drawn = losses.l1(drawn, fake)
        d_fake, _ = self.D.pull(D_tape, d_drawn)  # through D, not into D
        self.G.accumulate(G_tape, d_fake - d_drawn)  # into G
        self.opt_G.step()
        return loss


if __name__ == "__main__":
    training.main(BEGAN, Settings)
