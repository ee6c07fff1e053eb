"""EBGAN: D is an autoencoder, and a sample's energy is its error (Zhao et al. 2017).

    energy(x) = |Dec(Enc(x)) - x|        a root of a sum of squares over a sample (section 2.3)

    D descends  energy(x) + max(0, m - energy(G(z)))                                (eq. 1)
    G descends  energy(G(z)) + w PT,  PT the mean of cos^2 between two codes        (eq. 2)

The pulling-away term PT (section 2.4) is there for G not to draw one thing again and again. The
margin m is an energy, too: pixels are from -1 to 1, and a picture of 28 x 28 is at most 56 from
another. What D draws wrong by more than m, it is not asked to draw even worse.

    python examples/relatives/ebgan.py --data mnist
    python examples/relatives/ebgan.py --data mnist --pulling 0     # without PT
    python examples/relatives/began.py --data mnist                 # another game with the same D
"""

from dataclasses import dataclass

from scratchgan import data, training, xp
from scratchgan.examples import dcgan
from scratchgan.layers import Conv2d, ConvTranspose2d, Dense, Flatten, Reshape
from scratchgan.layers.activations import LeakyReLU, ReLU
from scratchgan.layers.compose import Sequential
from scratchgan.optim import Adam
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """m and the rate as in the paper's search on MNIST (section 4.1), w as where it compares PT."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a training step", minimum=2)
    lr: float = option(1e-3, "learning rate", minimum=1e-12)
    margin: float = option(10.0, "m: the energy up to which D drives G's samples", minimum=0)
    pulling: float = option(0.1, "w: weight of the pulling-away term", minimum=0)
    code: int = option(32, "numbers in the autoencoder's code", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)


class EBGAN(training.Model):
    """G: that of `dcgan.py`; D: 28-14-7-code-7-14-28, without batch norm."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = self.networks(shape, rng)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))

    def networks(self, shape, rng):
        settings = self.settings
        widths = [2 * settings.width, settings.width, shape[-1]]
        G = dcgan.generator(settings.latent, shape[0] // 4, widths, "transposed", rng)
        return G, autoencoder(shape, settings.width, settings.code, rng)

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        D_loss = self.discriminator_step(real)
        G_loss, pulling = self.generator_step(len(real))
        return {"D": D_loss, "G": G_loss, "PT": pulling}

    def discriminator_step(self, real):
        # D descends energy(x) + max(0, m - energy(G(z))), for each sample
        m, n = self.settings.margin, len(real)
        fake, _ = self.G.forward(self.noise(n))
        real_drawn, real_tape = self.D.forward(real)  # (N, 28, 28, C)
        fake_drawn, fake_tape = self.D.forward(fake)
        real_energy, d_real = energy(real, real_drawn)  # (N,), and its slope (N, 28, 28, C)
        fake_energy, d_fake = energy(fake, fake_drawn)
        below = (fake_energy < m).astype(fake.dtype)  # the samples that D still pushes up
        self.D.accumulate(real_tape, d_real * (1 / n))  # into D
        self.D.accumulate(fake_tape, d_fake * below[:, None, None, None] * (-1 / n))
        self.opt_D.step()
        return (real_energy + below * (m - fake_energy)).mean()

    def generator_step(self, n):
        # G descends energy(G(z)) + w PT; G(z) is what D starts from, and what it should end with
        encoder, decoder = self.D.layers
        fake, G_tape = self.G.forward(self.noise(n))
        codes, encoder_tape = encoder.forward(fake)  # (N, code)
        drawn, decoder_tape = decoder.forward(codes)
        fake_energy, slope = energy(fake, drawn)
        pulling, d_pulling = pulling_away(codes)
        d_drawn = slope * (1 / n)
        d_codes, _ = decoder.pull(decoder_tape, d_drawn)  # through D, not into D
        d_fake, _ = encoder.pull(encoder_tape, d_codes + self.settings.pulling * d_pulling)
        self.G.accumulate(G_tape, d_fake - d_drawn)  # into G
        self.opt_G.step()
        return fake_energy.mean(), pulling

    def generate(self, z):
        return self.G(z)


def energy(x, drawn):
    """Return |drawn - x| of each sample, (N,), and its derivative by drawn; by x it is minus that.

    The root is taken of a sum that is never 0, so that the derivative is finite.
    """
    gap = drawn - x
    size = xp.sqrt((gap * gap).sum(axis=(1, 2, 3)) + 1e-12)  # (N,)
    return size, gap / size[:, None, None, None]


def pulling_away(codes):
    """Return the mean of cos^2 over all pairs of codes, (N, F), and its derivative (section 2.4).

    With c = s / |s| for each code s, and C = c c^T but for its diagonal, which is 0:

        PT = sum C_ij^2 / (N (N - 1)),   dc = 4 C c / (N (N - 1)),   ds = (dc - c (c . dc)) / |s|
    """
    n = len(codes)
    pairs = n * (n - 1)
    size = xp.sqrt((codes * codes).sum(axis=1, keepdims=True) + 1e-12)  # (N, 1)
    c = codes / size
    C = c @ c.T * (1 - xp.eye(n, dtype=c.dtype))  # (N, N)
    dc = C @ c * (4 / pairs)
    d_codes = (dc - c * (c * dc).sum(axis=1, keepdims=True)) / size
    return (C * C).sum() * (1 / pairs), d_codes


def autoencoder(shape, width, code, rng):
    """Pictures -> a code (N, code) -> pictures: two stages down, two up; no batch norm.

    With it, what D says of a sample would depend on the rest of its batch.
    """
    side, wide = shape[0] // 4, 2 * width
    by_two = {"kernel": 4, "stride": 2, "padding": 1, "rng": rng}
    encoder = Sequential(
        Conv2d(shape[-1], width, **by_two), LeakyReLU(0.2),
        Conv2d(width, wide, **by_two), LeakyReLU(0.2),
        Flatten(), Dense(side * side * wide, code, rng=rng),
    )  # fmt: skip
    return Sequential(encoder, decoder(shape, width, code, rng))


def decoder(shape, width, code, rng):
    """A code (N, code) -> twice the side, two times -> pictures, of any number: no tanh to saturate."""
    side, wide = shape[0] // 4, 2 * width
    by_two = {"kernel": 4, "stride": 2, "padding": 1, "rng": rng}
    return Sequential(
        Dense(code, side * side * wide, rng=rng), Reshape(side, side, wide), ReLU(),
        ConvTranspose2d(wide, width, **by_two), ReLU(),
        ConvTranspose2d(width, shape[-1], **by_two),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(EBGAN, Settings)
