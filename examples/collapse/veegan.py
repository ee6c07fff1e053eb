"""VEEGAN (Srivastava et al. 2017, "Reducing Mode Collapse in GANs using ... Learning").

    F maps samples back to latent vectors. D, a logit, tells pairs (G(z), z) from pairs (x, F(x)):
    D ascends   E log sigmoid D(G(z), z) + E log(1 - sigmoid D(x, F(x)))
    F descends  E |z - F(G(z))|^2
    G descends  E |z - F(G(z))|^2 + E D(G(z), z)                                       (algorithm 1)

D's logit estimates log q(x, z) / p(x, z), the logarithm of how much likelier a pair is under G than
under F: G's second term is a divergence between the two joint distributions. F learns from
generated samples alone; at a real mode that G lost, it maps x to where no z is, and D sees that in
F(x). Here |.|^2 is a mean over z's elements.

    python examples/collapse/veegan.py                         # on the ring
    python examples/collapse/veegan.py --data grid
"""

from dataclasses import dataclass

from scratchgan import losses, training, xp
from scratchgan.examples.collapse import pacgan
from scratchgan.layers import ReLU, Sequential, functions
from scratchgan.optim import Adam
from scratchgan.training import option


@dataclass
class Settings(pacgan.Protocol):
    """PacGAN's G, D and protocol, so that the table compares methods and nothing else."""

    reconstruction: float = option(1.0, "weight of E |z - F(G(z))|^2", minimum=0)


class VEEGAN(pacgan.PlainGAN):
    """G of `pacgan.py`; D, too, with x and z side by side; F: 2-200-200-2, ReLU."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        half, betas = settings.width // 2, (settings.beta1, 0.999)
        self.D = pacgan.discriminator(2 + settings.latent, half, rng)
        self.F = Sequential(
            pacgan.Dense(2, half, rng=rng), ReLU(),
            pacgan.Dense(half, half, rng=rng), ReLU(),
            pacgan.Dense(half, settings.latent, rng=rng),
        )  # fmt: skip
        self.opt_D = Adam(self.D.params(), settings.lr_D or settings.lr, betas=betas)
        self.opt_F = Adam(self.F.params(), settings.lr, betas=betas)

    def equilibrium(self):
        return {}  # an F that inverts G exactly need not exist

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        D_loss = self.discriminator_step(real)
        G_loss, error = self.generator_step(len(real))
        return {"D": D_loss, "G": G_loss, "reconstruction": error}

    def discriminator_step(self, real):
        # D ascends log sigmoid D(G(z), z) + log(1 - sigmoid D(x, F(x)))
        z = self.noise(len(real))
        fake, _ = self.G.forward(z)
        fake_pair = xp.concatenate([fake, z], axis=1)  # (N, 2 + latent)
        real_pair = xp.concatenate([real, self.F(real)], axis=1)
        fake_logits, fake_tape = self.D.forward(fake_pair)
        real_logits, real_tape = self.D.forward(real_pair)
        loss, d_fake, d_real = losses.nonsaturating_discriminator(fake_logits, real_logits)
        self.D.accumulate(fake_tape, d_fake)  # into D
        self.D.accumulate(real_tape, d_real)
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G descends |z - F(G(z))|^2 + D(G(z), z), and F the first of the two
        z = self.noise(n)
        fake, G_tape = self.G.forward(z)
        guess, F_tape = self.F.forward(fake)
        error, d_guess = losses.l2(guess, z)
        d_guess = self.settings.reconstruction * d_guess
        d_fake = self.F.backward(F_tape, d_guess)  # through F, and into F
        score, D_tape = self.D.forward(xp.concatenate([fake, z], axis=1))
        d_pair, _ = self.D.pull(D_tape, xp.full_like(score, 1 / n))  # through D, not into D
        self.G.accumulate(G_tape, d_fake + d_pair[:, :2])  # into G
        self.opt_G.step()
        self.opt_F.step()
        self.G_average.update()
        return score.mean(), error

    def surface(self, x):
        """Return how real D finds the pairs (x, F(x)): (n, 1)."""
        x = xp.to_device(x)
        return xp.to_host(functions.sigmoid(-self.D(xp.concatenate([x, self.F(x)], axis=1))))


if __name__ == "__main__":
    training.main(VEEGAN, Settings)
