"""BiGAN, or ALI: a GAN that learns to encode (Donahue et al. 2017; Dumoulin et al. 2017).

    E maps pictures to codes. D tells pairs (x, E(x)) from pairs (G(z), z):
    min over G, E, max over D of  E log D(x, E(x)) + E log(1 - D(G(z), z))          (eq. 2 and 3)

G and E are never shown each other's output. They can fool D only together: where they are an
optimum, they are each other's inverse (theorem 2). As in the paper's section 3.4, both of their
labels are exchanged in their own step, since that has the stronger gradient.

    python examples/relatives/bigan.py                          # glyphs
    python examples/relatives/bigan.py --data mnist
    python examples/relatives/bigan.py codes runs/bigan         # what the codes are good for
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.layers import BatchNorm, Dense, Each, Flatten, Join, LeakyReLU, ReLU, Reshape, Sequential, Tanh
from scratchgan.metrics import codes as metrics
from scratchgan.metrics.codes import held_out, rows
from scratchgan.optim import Adam, linear_decay
from scratchgan.training import command, option


@dataclass
class Settings(training.Settings):
    """A quarter of the paper's width, for a run of minutes."""

    steps: int = option(6000, "training steps: one is a step of D, of G and of E", minimum=1)
    lr: float = option(5e-4, "learning rate: from half of the steps on, it falls", minimum=1e-12)
    latent: int = option(50, "length of a code z", minimum=1)
    width: int = option(256, "units of a hidden layer", minimum=1)
    norm_D: bool = option(False, "batch norm in D, too, as the authors have it")


class BiGAN(training.Model):
    """E: 784-256-256-50, G: 50-256-256-784, D: (784, 50)-256-256-1; the paper has 1024."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        pixels, width, latent = int(np.prod(shape)), settings.width, settings.latent
        norm_D = [BatchNorm(width)] if settings.norm_D else []
        self.E = Sequential(
            Flatten(), Dense(pixels, width, rng=rng), LeakyReLU(0.2),
            Dense(width, width, rng=rng), BatchNorm(width), LeakyReLU(0.2),
            Dense(width, latent, rng=rng), Tanh(),  # in [-1, 1], as z
        )  # fmt: skip
        self.G = Sequential(
            Dense(latent, width, rng=rng), BatchNorm(width), ReLU(),
            Dense(width, width, rng=rng), BatchNorm(width), ReLU(),
            Dense(width, pixels, rng=rng), Tanh(), Reshape(*shape),
        )  # fmt: skip
        self.D = Sequential(
            Each(Flatten(), Flatten()), Join(),  # (N, pixels + latent)
            Dense(pixels + latent, width, rng=rng), LeakyReLU(0.2),
            Dense(width, width, rng=rng), *norm_D, LeakyReLU(0.2), Dense(width, 1, rng=rng),
        )  # fmt: skip
        lr = linear_decay(settings.lr, settings.steps + 1, start=settings.steps // 2)
        adam = lambda net: Adam(net.params(), lr)
        self.opt_E, self.opt_G, self.opt_D = adam(self.E), adam(self.G), adam(self.D)

    def latent(self, n, rng):
        return rng.uniform(-1, 1, (n, self.settings.latent)).astype(np.float32)

    def step(self, batches):
        x = xp.to_device(data.to_signed(batches.next()))  # (N, H, W, C)
        z = self.noise(len(x))
        code, E_tape = self.E.forward(x)  # (N, latent)
        fake, G_tape = self.G.forward(z)
        real_logits, real_tape = self.D.forward((x, code))  # (N, 1)
        fake_logits, fake_tape = self.D.forward((fake, z))
        # D ascends log D(x, E(x)) + log(1 - D(G(z), z))
        D_loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        # G ascends log D(G(z), z), E log(1 - D(x, E(x))): the labels of both are exchanged
        loss, d_fake, d_real = losses.nonsaturating_discriminator(fake_logits, real_logits)
        (_, d_code), _ = self.D.pull(real_tape, d_real)  # through D, not into D
        (d_picture, _), _ = self.D.pull(fake_tape, d_fake)
        self.E.accumulate(E_tape, d_code)  # into E, and into G
        self.G.accumulate(G_tape, d_picture)
        for optimizer in (self.opt_D, self.opt_E, self.opt_G):
            optimizer.step()
        return {"D": D_loss, "G and E": loss}

    def equilibrium(self):
        return {"D": 2 * np.log(2), "G and E": 2 * np.log(2)}

    def generate(self, z):
        return self.G(z)

    def encode(self, images):
        """Return E(x) of uint8 pictures, (n, latent), on the host."""
        return self.infer(self.E, images)

    def features(self, images):
        """Return what the last layer of E looks at, (n, width), on the host."""
        return self.infer(Sequential(*self.E.layers[:-2]), images)


# ---- the command `codes` -------------------------------------------------------------------------


@dataclass
class CodesOptions:
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture (default: RUN/codes.png); numbers lie beside it")


def codes(Model, Settings, program, argv):
    """Print the 1-NN accuracy of codes, and |x - G(E(x))|, beside baselines; draw x and G(E(x))."""
    run, options = command.parse_run(program, "codes", codes.__doc__, CodesOptions, argv)
    out = command.output(options, run, "codes.png")
    model = command.load(Model, Settings, run, options)
    source = {"data_dir": model.settings.data_dir or None, "seed": model.settings.seed}
    train, test = data.load_images(model.settings.data, **source), held_out(model)
    untrained = Model(model.settings, model.shape, np.random.default_rng(model.settings.seed))
    pca = metrics.PCA(rows(train.images), model.settings.latent)
    spaces = {
        "pixels": rows, "PCA": lambda images: pca.encode(rows(images)),
        "E(x)": model.encode, "E's last hidden layer": model.features,
        "E(x), untrained": untrained.encode,
        "E's last hidden layer, untrained": untrained.features,
    }  # fmt: skip
    report = {"training pictures": len(train.images), "test pictures": len(test.images)}
    for name, f in spaces.items():
        pairs = (f(train.images), train.labels, f(test.images), test.labels)
        report[f"1-NN accuracy, {name}"] = metrics.nearest_accuracy(*pairs)
    again = model.images(xp.to_device(model.encode(test.images)))
    report |= metrics.errors(rows(train.images), rows(test.images), rows(again), len(pca.V.T))
    z = model.latent(1000, np.random.default_rng(0))
    back = model.encode(model.images(xp.to_device(z)))
    for name, code in (("E(G(z))", back), ("E(G(another z))", np.roll(back, 1, axis=0))):
        report[f"|z - {name}|, a number"] = float(np.abs(z - code).mean())
    for name, number in report.items():
        print(f"{name:48}{number:10.4g}")
    command.write(metrics.side_by_side(test.images, again), out)
    command.write_numbers(report, out.with_suffix(".json"))


if __name__ == "__main__":
    training.main(BiGAN, Settings, commands=[codes])
