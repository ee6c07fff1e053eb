"""WGAN with clipped weights (Arjovsky et al. 2017, "Wasserstein GAN", algorithm 1).

    W(p, q) = sup over 1-Lipschitz f of  E f(x) - E f(G(z))                                  (eq. 2)

The critic f is trained towards that supremum, so that G descends a distance between real and
generated samples. Clipping its weights to [-0.01, 0.01] bounds its slope by some K that nobody
knows: it estimates K W. Momentum makes the critic unstable, hence RMSprop (section 4). This critic
has batch norm, too, and its score is then no estimate of a distance: docs/recipes.md.

    python examples/stability/wgan.py                        # glyphs
    python examples/stability/wgan.py --data mnist
    python examples/stability/wgan.py --clip 0.01 --lr 5e-5 --lr-G 5e-5 --critic-steps 5  # paper
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.examples import wgan_gp
from scratchgan.initializers import normal
from scratchgan.layers import BatchNorm, Conv2d, Dense, Flatten, LeakyReLU, Sequential
from scratchgan.optim import RMSprop
from scratchgan.penalties import clip
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """Algorithm 1 with other networks and rates than the paper's: docs/recipes.md."""

    steps: int = option(3000, "training steps: one is critic-steps of D and one of G", minimum=1)
    batch_size: int = option(32, "real samples in a training step", minimum=2)
    lr: float = option(2e-4, "learning rate of the critic", minimum=1e-12)
    lr_G: float = option(1e-3, "learning rate of G", minimum=1e-12)
    critic_steps: int = option(2, "steps of the critic for a step of G", minimum=1)
    clip: float = option(0.03, "largest weight of the critic", minimum=1e-12)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)
    average: float = option(0.998, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class WGAN(wgan_gp.WGANGP):
    """G's step is that of `wgan_gp.py`; the critic is clipped and has batch norm; RMSprop."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.opt_G = RMSprop(self.G.params(), settings.lr_G)
        self.opt_D = RMSprop(self.D.params(), settings.lr)

    def networks(self, shape, rng):
        G = wgan_gp.generator(self.settings, shape, rng, initialize=normal, hidden=512)
        small, large = self.settings.width, 2 * self.settings.width
        drawn = {"rng": rng, "initialize": normal}
        D = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, **drawn), LeakyReLU(0.2),
            Conv2d(small, large, 4, stride=2, padding=1, **drawn), BatchNorm(large), LeakyReLU(0.2),
            Flatten(), Dense(7 * 7 * large, 256, **drawn), BatchNorm(256), LeakyReLU(0.2),
            Dense(256, 1, **drawn),
        )  # fmt: skip
        return G, D

    def step(self, batches):
        for _ in range(self.settings.critic_steps):  # fresh real samples each time
            real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
            D_loss = self.discriminator_step(real)
        return {"D": D_loss, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends f(x) - f(G(z)): the loss is minus the estimate of K W
        fake, _ = self.G.forward(self.noise(len(real)))
        real_score, real_tape = self.D.forward(real)
        fake_score, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.wasserstein_discriminator(real_score, fake_score)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        clip(self.D, self.settings.clip)
        return loss


if __name__ == "__main__":
    training.main(WGAN, Settings)
