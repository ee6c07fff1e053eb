"""Anomaly detection: f-AnoGAN, and AnoGAN as an option (Schlegl et al. 2019 and 2017).

A GAN learns what healthy pictures look like. Then G and D stand still, and an encoder E learns to
find for a picture x the z whose G(z) is nearest. What G cannot draw is what it has never seen:

    E descends  A = mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2,  kappa = 1

f is what D's last layer looks at, A the score of a picture, |x - G(E(x))| the map of a lesion. Not
a medical device: the heads are drawings, and no doctor has looked at any result.

    python examples/uses/anogan.py                            # phantoms of heads
    python examples/uses/anogan.py --data mnist --normal 4    # what is no 4?
    python examples/uses/anogan.py evaluate runs/anogan       # with --search 500: AnoGAN
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.data import anomalies
from scratchgan.examples.stability import r1gan
from scratchgan.layers import BatchNorm, Conv2d, ConvTranspose2d, Dense, Flatten, GaussianNoise
from scratchgan.layers.activations import LeakyReLU, ReLU, Tanh
from scratchgan.layers.compose import Sequential
from scratchgan.layers.shape import Reshape
from scratchgan.metrics import anomaly
from scratchgan.optim import Adam, cosine
from scratchgan.param import Param
from scratchgan.support.errors import UserError
from scratchgan.training import command, option


@dataclass
class Settings(r1gan.Settings):
    steps: int = option(11_000, "training steps, of the game and then of the encoder", minimum=1)
    game: int = option(8500, "steps after which G and D stand still, and E learns", minimum=0)
    batch_size: int = option(32, "real images in a training step", minimum=1)
    lr: float = option(4e-4, "learning rate of G and D", minimum=1e-12)
    data: str = option("phantom", "data set", choices=(*anomalies.MEDICAL, *data.NAMES))
    normal: int = option(4, "the class that is no anomaly, but for phantoms", minimum=0, maximum=9)
    gamma: float = option(0.1, "weight of the R1 penalty", minimum=0)
    penalty_every: int = option(8, "steps of D from one penalty to the next", minimum=1)
    latent: int = option(32, "length of the latent vector z", minimum=1)
    width: int = option(32, "channels of the stage next to the picture", minimum=1)
    average: float = option(0.999, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    noise: float = option(0.1, "standard deviation of the noise on what D sees", minimum=0)
    kappa: float = option(1.0, "weight of D's features in A", minimum=0)
    lr_E: float = option(1e-3, "learning rate of E's first step", minimum=1e-12)
    tanh: bool = option(False, "E's z lies in [-1, 1], as in the authors' code")


class AnoGAN(r1gan.R1GAN):
    """G: z to a quarter of the side, and up; D: its mirror, without norm; E: as D, with norm."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        rate = cosine(settings.lr_E, max(settings.steps - settings.game, 1))
        self.opt_E = Adam(self.E.params(), rate, betas=(0.9, 0.999))

    def networks(self, shape, rng):
        small, large, side = self.settings.width, 2 * self.settings.width, shape[0] // 4
        by_two = {"kernel": 4, "stride": 2, "padding": 1, "rng": rng}
        G = Sequential(
            Dense(self.settings.latent, side**2 * large, rng=rng),
            Reshape(side, side, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, **by_two), BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], **by_two), Tanh(),
        )  # fmt: skip
        features = Sequential(
            GaussianNoise(self.settings.noise, rng=rng),  # so that G need not learn to draw noise
            Conv2d(shape[-1], small, **by_two), LeakyReLU(0.2),
            Conv2d(small, large, **by_two), LeakyReLU(0.2), Flatten(),
        )  # fmt: skip
        self.E = Sequential(
            Conv2d(shape[-1], small, **by_two), BatchNorm(small), LeakyReLU(0.2),
            Conv2d(small, large, **by_two), BatchNorm(large), LeakyReLU(0.2), Flatten(),
            Dense(side**2 * large, self.settings.latent, rng=rng), *[Tanh()] * self.settings.tanh,
        )  # fmt: skip
        return G, Sequential(features, Dense(side**2 * large, 1, rng=rng))

    @staticmethod
    def load_data(settings):
        return anomalies.asked_for(settings, "train").images

    def step(self, batches):
        if self.opt_G.steps < self.settings.game:
            return super().step(batches)
        return {"E": self.encoder_step(xp.to_device(data.to_signed(batches.next())))}

    def encoder_step(self, x):
        # E descends mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2
        z, E_tape = self.E.forward(x)
        loss, dz = self.distance(x, z)
        self.E.accumulate(E_tape, dz)  # into E
        self.opt_E.step()
        return loss

    def distance(self, x, z):
        """Return A and dz. G and D infer: no picture of a batch changes another's answer."""
        G, f, kappa = self.G_average.net, self.D.layers[0], self.settings.kappa
        y, G_tape = G.forward(z, train=False)
        seen, f_tape = f.forward(y, train=False)  # (N, F)
        pixel_loss, dy = losses.l2(y, x)
        feature_loss, d_seen = losses.l2(seen, f(x))
        d_through, _ = f.pull(f_tape, kappa * d_seen)  # through D, not into D
        dz, _ = G.pull(G_tape, dy + d_through)  # through G, not into G
        return pixel_loss + kappa * feature_loss, dz

    def search(self, x, steps):
        """Return z of G(z) near x, by steps of Adam from the mean of all z: AnoGAN needs no E."""
        z = Param(xp.zeros((len(x), self.settings.latent), dtype="float32"))
        optimizer = Adam([z], 0.05, betas=(0.9, 0.999))
        for _ in range(steps):
            z.grad += self.distance(x, z.value)[1]
            optimizer.step()
        return z.value

    def reconstruct(self, images, search=0):
        """Return G(z), as images, of the z that E or a search finds, and A, (n,), on the host."""
        f, find = self.D.layers[0], (lambda x: self.search(x, search)) if search else self.E
        y = data.to_bytes(self.infer(lambda x: self.generate(find(x)), images))
        gaps = data.to_signed(images) - data.to_signed(y), self.infer(f, images) - self.infer(f, y)
        of_pixels, of_features = [(gap.reshape(len(y), -1) ** 2).mean(axis=1) for gap in gaps]
        return y, of_pixels + self.settings.kappa * of_features


@dataclass
class EvaluateOptions:
    search: int = option(0, "steps of a search for z, in the place of E: AnoGAN", minimum=0)
    n: int = option(0, "test pictures; 0: all", minimum=0)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture (default: RUN/residuals.png); numbers lie beside it")


def evaluate(Model, Settings, program, argv):
    """Print AUCs of anomalies by their residuals, beside PCA's; draw the residuals."""
    run, options = command.parse_run(program, "evaluate", evaluate.__doc__, EvaluateOptions, argv)
    out = command.output(options, run, "residuals.png")
    model = command.load(Model, Settings, run, options)
    if not (options.search or model.opt_E.steps):
        raise UserError(f"{run}: E learns after step {model.settings.game:,}; take --search 500.")
    test = anomalies.asked_for(model.settings, "test").some(options.n)
    who, (y, A) = f"AnoGAN, {options.search or 'E'}", model.reconstruct(test.images, options.search)
    table = anomaly.table(who, test, model.load_data(model.settings), y, A)
    print(anomaly.text(table))
    command.write(anomaly.picture(test, y), out)
    command.write_numbers(table, out.with_suffix(".json"))


if __name__ == "__main__":
    training.main(AnoGAN, Settings, commands=[evaluate])
