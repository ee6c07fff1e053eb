"""VAE-GAN (Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric").

An error of pixels is least for a blur. Here a VAE is told instead how far apart a picture x and its
reconstruction y look to D: by f, what D's last layer looks at. Its decoder G is a GAN's, too.

    y = G(z), z ~ r(z | x) by the encoder E;  n ~ N(0, 1);  L = E 1/2 |f(x) - f(y)|^2
    D ascends   log D(x) + log(1 - D(y)) + log(1 - D(G(n)))                                (eq. 10)
    E descends  KL(r(z | x), N(0, 1)) + L                                           (algorithm 1)
    G descends  gamma L - log D(y) - log D(G(n))

L moves E and G, not D, which would make f blind; what D says of y moves G, not E. G's last two
terms are the paper's log(1 - D) in the form that is not flat where D is sure.

    python examples/relatives/vae_gan.py                       # glyphs
    python examples/relatives/vae_gan.py --data mnist
    python examples/relatives/vae_gan.py --data mnist --no-gan            # E and G, pixels alone
    python examples/relatives/vae_gan.py reconstruct runs/vae_gan         # beside PCA
"""

import math
from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.examples import dcgan
from scratchgan.examples.relatives import vae
from scratchgan.initializers import normal
from scratchgan.layers import Dense, Fork, GaussianSample, Sequential
from scratchgan.optim import Adam
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    steps: int = option(3000, "training steps: one is a step of each network", minimum=1)
    batch_size: int = option(32, "pictures in a training step", minimum=2)
    lr: float = option(2e-4, "learning rate of D", minimum=1e-12)
    lr_G: float = option(1e-3, "learning rate of E and G", minimum=1e-12)
    latent: int = option(20, "length of the latent vector z", minimum=1)
    width: int = option(16, "channels next to the picture", minimum=1)
    gamma: float = option(1e-2, "weight of L for G, the decoder", minimum=0)
    gan: bool = option(True, "D and what it sees; --no-gan: a VAE by its error of pixels")


class VAEGAN(training.Model):
    """E: 28 x 28 to 14, to 7, to (mean, log_var), (N, latent) each; G its mirror; D as E, to f."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        widths, latent = [shape[-1], settings.width, 2 * settings.width], settings.latent
        head = lambda: Dense(7 * 7 * widths[-1], latent, rng=rng, initialize=normal)
        body = dcgan.discriminator(7, widths, rng).layers[:-1]
        self.E = Sequential(*body, Fork(head(), head()))
        self.sample = GaussianSample(rng=rng)
        self.G = dcgan.generator(latent, 7, widths[::-1], "transposed", rng, hidden=512)
        *features, last = dcgan.discriminator(7, widths, rng).layers
        self.D = Sequential(*features, Fork(Sequential(), last))  # f as it is, and a logit of it
        adam = lambda net, lr: Adam(net.params(), lr, betas=(0.5, 0.999))
        self.opt_E, self.opt_G = adam(self.E, settings.lr_G), adam(self.G, settings.lr_G)
        self.opt_D = adam(self.D, settings.lr)

    def step(self, batches):
        x = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        return self.game_step(x) if self.settings.gan else self.pixel_step(x)

    def game_step(self, x):
        """Take a step of D, G and E, each by its own sum of one pass, as in algorithm 1."""
        r, E_tape = self.E.forward(x)  # mean and log variance
        z, z_tape = self.sample.forward(r)
        y, y_tape = self.G.forward(z)
        fake, fake_tape = self.G.forward(self.noise(len(x)))
        (f_x, of_x), D_x = self.D.forward(x)  # features (N, F), logits (N, 1)
        (f_y, of_y), D_y = self.D.forward(y)
        (_, of_fake), D_fake = self.D.forward(fake)
        # D ascends log D(x) + log(1 - D(y)) + log(1 - D(G(n)))
        D_loss = 0
        for logits, tape, real in ((of_x, D_x, 1.0), (of_y, D_y, 0.0), (of_fake, D_fake, 0.0)):
            loss, d_logits = losses.binary_cross_entropy(logits, real)
            self.D.accumulate(tape, (None, d_logits))  # into D, by its logits alone
            D_loss = D_loss + loss
        # G descends gamma L - log D(y) - log D(G(n)), L = E 1/2 |f(x) - f(y)|^2
        L, d_f = half_squares(f_y, f_x)
        by_L, _ = self.D.pull(D_y, (d_f, None))  # through D, not into D
        G_loss, d_logits = losses.nonsaturating_generator(of_y)
        by_D, _ = self.D.pull(D_y, (None, d_logits))
        self.G.accumulate(y_tape, self.settings.gamma * by_L + by_D)  # into G
        loss, d_logits = losses.nonsaturating_generator(of_fake)
        self.G.accumulate(fake_tape, self.D.pull(D_fake, (None, d_logits))[0])
        # E descends KL(r(z | x), N(0, 1)) + L
        dz, _ = self.G.pull(y_tape, by_L)  # through G, not into G
        kl = self.into_encoder(r, E_tape, z_tape, dz)
        for optimizer in (self.opt_D, self.opt_G, self.opt_E):
            optimizer.step()
        return {"D": D_loss, "G": G_loss + loss, "L": L, "KL": kl}

    def into_encoder(self, r, E_tape, z_tape, dz):
        """Add the gradient of KL(r(z | x), N(0, 1)), and of what has dz at z, to E's; return KL."""
        kl, d_mean, d_log_var = losses.gaussian_kl(*r)
        (by_mean, by_log_var), _ = self.sample.pull(z_tape, dz)
        self.E.accumulate(E_tape, (by_mean + d_mean, by_log_var + d_log_var))
        return kl

    def pixel_step(self, x):
        # E and G descend KL + pixels / 2 log s^2, s^2 = E (x - y)^2: -log N(x; y, s^2) at its best
        r, E_tape = self.E.forward(x)
        z, z_tape = self.sample.forward(r)
        y, y_tape = self.G.forward(z)
        error, d_error = losses.l2(y, x)  # the mean over pixels, too
        dz = self.G.backward(y_tape, d_error * (math.prod(self.shape) / 2 / error))
        kl = self.into_encoder(r, E_tape, z_tape, dz)
        self.opt_G.step()
        self.opt_E.step()
        return {"(x - y)^2": error, "KL": kl}

    def equilibrium(self):
        # D(x) = 1/3 everywhere: of three pictures that D is shown, one is real
        return {"D": math.log(27 / 4), "G": 2 * math.log(3)} if self.settings.gan else {}

    def generate(self, z):
        return self.G(z)

    def reconstruct(self, images):
        """Return G of r's means, of uint8 images (n, H, W, C), on the host."""
        return data.to_bytes(self.infer(lambda x: self.G(self.E(x)[0]), images))


def half_squares(seen, target):
    """Return E 1/2 |seen - target|^2, the square a sum over features (N, F), and d_seen."""
    gap = seen - target
    return 0.5 * (gap * gap).sum() / len(gap), gap / len(gap)


if __name__ == "__main__":
    training.main(VAEGAN, Settings, commands=[vae.reconstruct])
