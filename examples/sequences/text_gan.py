"""Character WGAN-GP (Gulrajani et al. 2017): windows of text, all of their characters at once.

    D descends  E D(G(z)) - E D(x) + lambda E (|grad D(xhat)| - 1)^2,    xhat = t x + (1 - t) G(z)
    G ascends   E D(G(z)),    t ~ U(0, 1), one a window

Text is discrete, and G is not: its softmax gives every place of a window a mixture of characters,
through which D's gradient goes. D sees a real window as a one-hot vector a place. A Markov chain
that remembers two characters writes better text than this G: `evaluate` prints both.

    python examples/sequences/text_gan.py                        # fables, made by rule
    python examples/sequences/text_gan.py --data shakespeare     # or --data FILE
    python examples/sequences/text_gan.py sample runs/text_gan --out lines.txt
"""

from dataclasses import dataclass

from scratchgan import losses, penalties, training, xp
from scratchgan.layers import Conv1d, Dense, Flatten, Pointwise, ReLU, Reshape, Residual, Softmax
from scratchgan.layers.compose import Sequential
from scratchgan.optim import EMA, Adam
from scratchgan.training import option
from scratchgan.training.texts import Texts


@dataclass
class Settings(training.Settings):
    """Smaller than the authors' code (512 channels, 5 blocks, 200,000 steps), and faster to learn.

    Their learning rate is 1e-4. With ours the letters that G likes best change from step to step:
    an average of its weights evens that out.
    """

    steps: int = option(1000, "training steps: one is critic-steps of D and one of G", minimum=1)
    lr: float = option(1e-3, "learning rate", minimum=1e-12)
    data: str = option("fables", "text: fables, shakespeare, or a file in UTF-8")
    data_dir: str = option("", "folder with tinyshakespeare.txt (default: where it is kept)")
    length: int = option(32, "characters of a window", minimum=3)
    critic_steps: int = option(5, "steps of the critic for a step of G", minimum=1)
    penalty: float = option(10.0, "weight of the gradient penalty, the paper's lambda", minimum=0)
    latent: int = option(128, "length of the latent vector z", minimum=1)
    width: int = option(64, "channels of every convolution", minimum=1)
    blocks: int = option(3, "residual blocks of G, and of D", minimum=1)
    average: float = option(0.99, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    sample_every: int = option(100, "steps from one picture of samples to the next", minimum=1)


class TextGAN(Texts):
    """G: z to L places, residual blocks, a softmax a place; D its mirror. Samples: (N, L, V)."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = self.networks(shape, rng)
        self.G_average = EMA(self.G, settings.average)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.9))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.9))

    def networks(self, shape, rng):
        (L, V), C = shape, self.settings.width
        block = lambda: Residual(Sequential(
            ReLU(), Conv1d(C, C, 5, padding=2, rng=rng),
            ReLU(), Conv1d(C, C, 5, padding=2, rng=rng), Scale(0.3),
        ))  # fmt: skip
        G = Sequential(
            Dense(self.settings.latent, L * C, rng=rng), Reshape(L, C),
            *[block() for _ in range(self.settings.blocks)],
            Conv1d(C, V, 1, rng=rng), Softmax(),
        )  # fmt: skip
        D = Sequential(
            Conv1d(V, C, 1, rng=rng),
            *[block() for _ in range(self.settings.blocks)],
            Flatten(), Dense(L * C, 1, rng=rng),  # a score, no logit
        )  # fmt: skip
        return G, D

    def step(self, batches):
        for _ in range(self.settings.critic_steps):  # fresh windows each time
            D_loss, penalty = self.discriminator_step(xp.to_device(batches.next()))
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(batches.batch_size)}

    def discriminator_step(self, real):
        # D descends D(G(z)) - D(x) + lambda (|grad D(xhat)| - 1)^2; `loss` is the first two
        fake, _ = self.G.forward(self.noise(len(real)))  # (N, L, V), soft
        real_score, real_tape = self.D.forward(real)  # (N, 1)
        fake_score, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.wasserstein_discriminator(real_score, fake_score)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        # Between a real window and one of G's: one t for all of their characters. Into D, too.
        weight = self.settings.penalty
        penalty = penalties.wgan_gp(self.D, real, fake, rng=self.rng, weight=weight)
        self.opt_D.step()
        return loss, penalty

    def generator_step(self, n):
        # G ascends D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        score, D_tape = self.D.forward(fake)
        loss, d_score = losses.wasserstein_generator(score)
        d_fake, _ = self.D.pull(D_tape, d_score)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def equilibrium(self):
        return {"D": 0.0}  # without the penalty

    def generate(self, z):
        return self.G_average.net(z)

    def walk(self, z, steps):
        return self.picture(z)  # a line a step


class Scale(Pointwise):
    """y = factor x."""

    def __init__(self, factor):
        self.factor = factor

    def f(self, x):
        return self.factor * x

    def derivative(self, y):
        return self.factor


if __name__ == "__main__":
    training.main(TextGAN, Settings)
