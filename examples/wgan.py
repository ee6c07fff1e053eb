"""Wasserstein GAN with weight clipping (Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", algorithm 1).

    W(p, q) = sup over 1-Lipschitz f of  E f(x) - E f(G(z))                                     (eq. 2)

The critic f is trained towards that supremum, so that G descends a distance between real and generated samples.
Clipping its weights to [-0.01, 0.01] bounds its slope by some K that nobody knows: it estimates K W. Momentum makes the
critic unstable, hence RMSprop (section 4).

    python examples/wgan.py                        # glyphs
    python examples/wgan.py --data mnist
    python examples/wgan.py --clip 0.1             # looser; with 0.001 gradients vanish on their way through the critic
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.initializers import normal
from scratchgan.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from scratchgan.optim import RMSprop
from scratchgan.param import clip
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """The paper's algorithm 1, with the networks of DCGAN for 28 x 28 pictures."""

    steps: int = option(3000, "training steps: one is critic-steps steps of D and a step of G", minimum=1)
    lr: float = option(5e-5, "learning rate", minimum=1e-12)
    critic_steps: int = option(5, "steps of the critic for a step of G", minimum=1)
    clip: float = option(0.01, "largest weight of the critic", minimum=1e-12)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(64, "channels of the stage next to the picture", minimum=1)


class WGAN(training.Model):
    """G: z to 7 x 7 to 14 x 14 to 28 x 28; the critic D its mirror, with a score that is no logit."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        small, large, N02 = settings.width, 2 * settings.width, {"rng": rng, "initialize": normal}
        self.G = Sequential(
            Dense(settings.latent, 7 * 7 * large, **N02), Reshape(7, 7, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, **N02), BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, **N02), Tanh(),
        )  # fmt: skip
        self.D = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, **N02), LeakyReLU(0.2),
            Conv2d(small, large, 4, stride=2, padding=1, **N02), BatchNorm(large), LeakyReLU(0.2),
            Flatten(), Dense(7 * 7 * large, 1, **N02),
        )  # fmt: skip
        self.opt_G = RMSprop(self.G.params(), settings.lr)
        self.opt_D = RMSprop(self.D.params(), settings.lr)

    def step(self, batches):
        for _ in range(self.settings.critic_steps):  # fresh real samples each time
            real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
            D_loss = self.discriminator_step(real)
        return {"D": D_loss, "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends f(x) - f(G(z)): the loss is minus the estimate of K W
        fake = self.G.forward(self.noise(len(real)))[0]
        real_score, real_tape = self.D.forward(real)
        fake_score, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.wasserstein_discriminator(real_score, fake_score)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        self.opt_D.step()
        clip(self.D, self.settings.clip)
        return loss

    def generator_step(self, n):
        # G ascends f(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        score, D_tape = self.D.forward(fake)
        loss, d_score = losses.wasserstein_generator(score)
        self.G.backward(G_tape, self.D.backward(D_tape, d_score, grads=False))
        self.opt_G.step()
        return loss

    def generate(self, z):
        return self.G(z)


if __name__ == "__main__":
    training.main(WGAN, Settings)
