"""f-GAN: a Gaussian is fitted to data by each of six divergences (Nowozin et al. 2016).

    D ascends, G descends  E g_f(V(x)) - E f*(g_f(V(G(z)))),  at most D_f(P, Q)        (section 2)

V is what D says, any number; g_f and f* belong to the divergence: scratchgan/divergences.py. G(z) =
mu + sigma z cannot be what the data are, a mixture of two Gaussians. So the divergences disagree on
the best mu and sigma. Which they are is known: each divergence is an integral along a line.

    python examples/relatives/fgan.py                          # Kullback-Leibler
    python examples/relatives/fgan.py --divergence pearson
    python examples/relatives/six_divergences.py               # all six: a table, a picture
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import divergences, training, xp
from scratchgan.data import line
from scratchgan.layers import Dense, Sequential, Softplus
from scratchgan.optim import EMA, Adam
from scratchgan.training import option

DIVERGENCES = {  # the game, and the function whose integral is the divergence
    "kl": (divergences.kullback_leibler, lambda p, q: p * np.log(p / q)),
    "reverse-kl": (divergences.reverse_kullback_leibler, lambda p, q: q * np.log(q / p)),
    "pearson": (divergences.pearson, lambda p, q: (p - q) ** 2 / q),
    "hellinger": (divergences.squared_hellinger, lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2),
    "js": (divergences.jensen_shannon,
           lambda p, q: p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))),
    "jeffrey": (divergences.jeffrey, lambda p, q: (p - q) * np.log(p / q)),
}  # fmt: skip
LINE = np.linspace(-12, 14, 1301)  # where integrals are taken


@dataclass
class Settings(training.Settings):
    steps: int = option(12_000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(1024, "real numbers in a training step", minimum=1)
    lr: float = option(5e-4, "learning rate", minimum=1e-12)
    data: str = option("mixture", "the real numbers", choices=("mixture",))
    divergence: str = option("kl", "what D estimates", choices=tuple(DIVERGENCES))
    average: float = option(0.999, "decay of G's average", minimum=0, maximum=0.99999)
    latent: int = option(1, "length of the latent vector z", minimum=1, maximum=1)
    width: int = option(32, "features of D's hidden layers", minimum=1)
    sample_every: int = option(1000, "steps from one picture to the next", minimum=1)


class FGAN(training.Model):
    """G: x = mu + sigma z; D: 1-32-32-1, softplus."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        width, self.divergence = settings.width, DIVERGENCES[settings.divergence][0]
        zeros = lambda shape, rng: xp.zeros(shape, dtype="float32")
        self.G = Sequential(Dense(1, 1, rng=rng))
        self.D = Sequential(
            Dense(1, width, rng=rng), Softplus(),
            Dense(width, width, rng=rng), Softplus(),
            Dense(width, 1, rng=rng, initialize=zeros),  # V = 0: exp(V) of a guess may be huge
        )  # fmt: skip
        first = self.D.layers[0]  # with biases of 0, all features would bend at 0
        first.b.value[...] = -first.W.value[0] * xp.to_device(rng.uniform(-5, 6, width), "float32")
        self.opt_G, self.opt_D = (Adam(net.params(), settings.lr) for net in (self.G, self.D))
        self.G_average = EMA(self.G, settings.average)

    @staticmethod
    def load_data(settings):
        # D learns where no number of a finite set lies: with 100,000, reverse KL feels it
        return line.sample(1_000_000, np.random.default_rng(settings.seed))  # (N, 1)

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 1)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D ascends E g_f(V(x)) - E f*(g_f(V(G(z))))
        fake, _ = self.G.forward(self.noise(len(real)))
        real_v, real_tape = self.D.forward(real)  # (N, 1)
        fake_v, fake_tape = self.D.forward(fake)
        play = divergences.variational_discriminator
        loss, d_real, d_fake = play(self.divergence, real_v, fake_v)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G descends -E f*(g_f(V(G(z)))), its part of the same number
        fake, G_tape = self.G.forward(self.noise(n))
        v, D_tape = self.D.forward(fake)
        loss, d_v = divergences.variational_generator(self.divergence, v)
        d_fake, _ = self.D.pull(D_tape, d_v)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def generate(self, z):
        return self.G_average.net(z)

    def report(self):
        """Return mu and |sigma| of G's average: G(0), and G(1) - G(0)."""
        ends = xp.to_host(self.generate(xp.to_device(np.array([[0], [1]], np.float32))))[:, 0]
        return {"mu": float(ends[0]), "sigma": abs(float(ends[1] - ends[0]))}

    def picture(self, z):
        return draw({self.settings.divergence: self.report()})

    def walk(self, z, steps):
        return self.picture(z)


def optimum(name):
    """Return (mu, sigma) of the Gaussian with the least divergence: a search on finer grids."""
    p, integrand = line.density(LINE), DIVERGENCES[name][1]
    value = lambda fit: integrand(p, line.normal(LINE, *fit)).sum()
    best, reach = (0.5, 1.8), 0.4
    while reach > 1e-5:
        steps = (0, 0), (-reach, 0), (reach, 0), (0, -reach), (0, reach)
        nearest = min(((best[0] + i, best[1] + j) for i, j in steps), key=value)
        best, reach = nearest, reach / 2 if nearest == best else reach
    return best


def draw(fits):
    """Return a picture of {divergence: {"mu": ..., "sigma": ...}} beside data and optima."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns, x = min(len(fits), 3), LINE[300:-300]  # -6 to 8
    rows = -(-len(fits) // columns)
    size = {"figsize": (4 * columns, 3 * rows), "dpi": 80, "layout": "constrained"}
    canvas = FigureCanvasAgg(Figure(**size))
    for index, (name, fit) in enumerate(fits.items(), 1):
        axes = canvas.figure.add_subplot(rows, columns, index)
        best = optimum(name)
        axes.fill_between(x, line.density(x), color="tab:orange", alpha=0.4, label="data")
        axes.plot(x, line.normal(x, *best), color="black", label="best Gaussian")
        axes.plot(x, line.normal(x, *fit.values()), "--", color="tab:blue", label="G")
        numbers = "({mu:.3f}, {sigma:.3f})".format(**fit)
        axes.set_title(f"{name}: {numbers}, best ({best[0]:.3f}, {best[1]:.3f})", fontsize=9)
        axes.legend(fontsize=8, frameon=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


if __name__ == "__main__":
    training.main(FGAN, Settings)
