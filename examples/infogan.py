"""InfoGAN (Chen et al. 2016, "... Representation Learning by Information Maximizing GANs").

G gets codes c besides its noise z; Q, a head on D's trunk, is to read them in G(z, c):

    min over G, Q, max over D of  V(D, G) - lambda I                                         (eq. 6)
    I = E log Q(c | G(z, c)) + H(c)  <=  I(c; G(z, c))                                       (eq. 5)

c is one of 10 categories (lambda 1), and two numbers uniform on [-1, 1] (lambda 0.1), which Q
answers with a normal distribution. I of the category cannot exceed H(c) = log 10 = 2.303 nats. No
label is seen; what codes have to do with digits is measured on held-out pictures: `error`, with
categories named in the best way, and the mutual-information gap to true factors. The picture: a row
for each category, of samples and of a walk along each number (figure 2).

    python examples/infogan.py         # 9 minutes on a core; error 0.01 to 0.4: try seeds
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, plots, training, xp
from scratchgan.initializers import normal
from scratchgan.layers import BatchNorm, Conv2d, ConvTranspose2d, Dense, Flatten, Reshape
from scratchgan.layers.activations import LeakyReLU, ReLU, Tanh
from scratchgan.layers.compose import Concat, Sequential
from scratchgan.metrics.disentangle import matched_accuracy, mutual_information_gap
from scratchgan.optim import Adam
from scratchgan.training import option

LOG_STD = -np.log(3) / 2  # of Q's answer to a number: 1 / sqrt(3) is the deviation of a uniform one


@dataclass
class Settings(training.Settings):
    """The paper's (C.1), half its channels, 1/4 of its units; G's rate is 5 times D's."""

    steps: int = option(4000, "training steps: one is a step of D and Q, and one of G", minimum=1)
    batch_size: int = option(64, "real samples in a training step", minimum=2)
    latent: int = option(62, "length of the noise z, codes not included", minimum=1)
    categories: int = option(10, "values of the categorical code", minimum=2)
    numbers: int = option(2, "how many continuous codes", minimum=1)
    width: int = option(32, "channels of the stage next to the picture", minimum=1)


class InfoGAN(training.Model):
    """G: (z, c) to 7 x 7 to 14 x 14 to 28 x 28. D: a trunk, two heads: [D's logit, Q's numbers]."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        small, large, hidden = settings.width, 2 * settings.width, 8 * settings.width
        codes = settings.categories + settings.numbers
        drawn = {"rng": rng, "initialize": normal}
        self.G = Sequential(
            Dense(settings.latent + codes, hidden, **drawn), BatchNorm(hidden), ReLU(),
            Dense(hidden, 7 * 7 * large, **drawn), Reshape(7, 7, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, **drawn),
            BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, **drawn), Tanh(),
        )  # fmt: skip
        trunk = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, **drawn), LeakyReLU(0.1),
            Conv2d(small, large, 4, stride=2, padding=1, **drawn), BatchNorm(large), LeakyReLU(0.1),
            Flatten(), Dense(7 * 7 * large, hidden, **drawn), BatchNorm(hidden), LeakyReLU(0.1),
        )  # fmt: skip
        Q = Dense(hidden, 128, **drawn), BatchNorm(128), LeakyReLU(0.1), Dense(128, codes, **drawn)
        self.D = Sequential(trunk, Concat(Dense(hidden, 1, **drawn), Sequential(*Q)))
        self.opt_G = Adam(self.G.params(), 5 * settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))

    def latent(self, n, rng):
        """Return n rows [z, category as one-hot, numbers], float32."""
        K = self.settings.categories
        numbers = rng.random((n, self.settings.numbers), dtype=np.float32)
        here = np if isinstance(rng, np.random.Generator) else xp  # xp with --device-noise
        category = rng.integers(0, K, n)[:, None] == here.arange(K)
        z = rng.standard_normal((n, self.settings.latent), dtype=np.float32)
        return here.concatenate([z, category.astype("float32"), 2 * numbers - 1], axis=1)

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        D, *I = self.discriminator_step(real)
        return {"D": D, "G": self.generator_step(len(real)), "I category": I[0], "I numbers": I[1]}

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z, c))); D's trunk and Q ascend I as well
        z = self.noise(len(real))
        fake, _ = self.G.forward(z)
        real_out, real_tape = self.D.forward(real)
        fake_out, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_out[:, :1], fake_out[:, :1])
        information, d_codes = self.information(fake_out, z)
        nothing = xp.zeros_like(d_codes)  # is asked of Q about real samples
        self.D.accumulate(real_tape, xp.concatenate([d_real, nothing], axis=1))  # into D and Q
        self.D.accumulate(fake_tape, xp.concatenate([d_fake, d_codes], axis=1))
        self.opt_D.step()
        return loss, *information

    def generator_step(self, n):
        # G ascends log D(G(z, c)) + lambda I
        z = self.noise(n)
        fake, G_tape = self.G.forward(z)
        out, D_tape = self.D.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(out[:, :1])
        d_out = xp.concatenate([d_logits, self.information(out, z)[1]], axis=1)
        d_fake, _ = self.D.pull(D_tape, d_out)  # through D and Q, not into them
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        return loss

    def information(self, out, z):
        """Return I of the category and of the numbers, and the gradient of -lambda I by `out`."""
        latent, K = self.settings.latent, self.settings.categories
        logits, mean = out[:, 1 : 1 + K], out[:, 1 + K :]
        drawn, code = z[:, latent : latent + K].argmax(1), z[:, latent + K :]
        category, d_logits = losses.categorical_information(logits, drawn)
        numbers, d_mean, _ = losses.gaussian_information(mean, xp.full_like(mean, LOG_STD), code)
        return (-category, -numbers), xp.concatenate([d_logits, 0.1 * d_mean], axis=1)

    def generate(self, z):
        return self.G(z)

    def picture(self, z):
        """Draw a row for each category: 10 samples, then a walk along each number."""
        latent, K, numbers = self.settings.latent, self.settings.categories, self.settings.numbers
        z = np.resize(xp.to_host(z), (10, z.shape[1]))
        walks = np.tile(z[:1], (numbers, 10, 1))  # (numbers, 10, latent + codes)
        walks[:, :, latent + K :] = np.eye(numbers)[:, None] * np.linspace(-1, 1, 10)[None, :, None]
        row = np.concatenate([z, walks.reshape(-1, z.shape[1])])
        rows = np.tile(row, (K, 1))
        rows[:, latent : latent + K] = np.eye(K).repeat(len(row), axis=0)
        return plots.grid(self.images(xp.to_device(rows)), columns=len(row))

    def report(self):
        """Let Q read held-out pictures: the category's error, and the codes' gap."""
        held_out = self.held_out()
        if held_out is None:
            return {}
        out, K = self.infer(self.D, held_out.images), self.settings.categories
        codes = {"category": out[:, 1 : 1 + K].argmax(1)}
        codes |= {f"number {i}": out[:, 1 + K + i] for i in range(self.settings.numbers)}
        error = {"error": 1 - matched_accuracy(codes["category"], held_out.labels)[0]}
        if not held_out.factors:
            return error
        return error | {"gap": mutual_information_gap(codes, held_out.factors)[0]}


if __name__ == "__main__":
    training.main(InfoGAN, Settings)
