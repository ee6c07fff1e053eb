"""The adversarial autoencoder: a game about codes (Makhzani et al. 2016).

    E and G descend  E |x - G(E(x))|^2                          an autoencoder: G draws x again
    D ascends        E log D(z) + E log(1 - D(E(x))),  z ~ N(0, 1)
    E ascends        E log D(E(x))                              (section 2)

In this game the prior is what is real, and the fakes are codes, made by E. If D can tell nothing,
codes lie as the prior does; and so G, which draws pictures from codes, draws them from the prior.

    python examples/relatives/aae.py --data mnist               # without --data: glyphs
    python examples/relatives/aae.py codes runs/aae    # log-likelihood, codes, beside baselines
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, training, xp
from scratchgan.examples.stability import adversarial_nets
from scratchgan.layers import Dense, Dropout, Flatten, ReLU, Reshape, Sequential, Sigmoid
from scratchgan.metrics import codes as metrics
from scratchgan.metrics.codes import rows
from scratchgan.metrics.parzen import log_likelihood
from scratchgan.optim import Adam, linear_decay
from scratchgan.training import command, option


@dataclass
class Settings(training.Settings):
    steps: int = option(1500, "training steps: one is a step of each of the three", minimum=1)
    batch_size: int = option(100, "real images in a training step", minimum=1)
    lr: float = option(1e-3, "learning rate: from half of the steps on, it falls", minimum=1e-12)
    lr_game: float = option(2e-4, "that of D, and of E against D", minimum=1e-12)
    latent: int = option(8, "length of a code z", minimum=1)
    width: int = option(400, "units of a hidden layer", minimum=1)
    dropout: float = option(0.2, "share of pixels that E does not see", minimum=0, maximum=0.9)


class AAE(training.Model):
    """E: 784-400-400-8, G: 8-400-400-784, pixels in [0, 1], D: 8-400-400-1; the paper has 1000."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        pixels, width, latent = int(np.prod(shape)), settings.width, settings.latent
        hidden = Dropout(settings.dropout, rng=rng)
        self.E = Sequential(Flatten(), hidden, perceptron(pixels, width, latent, rng))
        self.G = Sequential(perceptron(latent, width, pixels, rng), Sigmoid(), Reshape(*shape))
        self.D = perceptron(latent, width, 1, rng)  # of codes: it never sees a picture
        falling = lambda lr: linear_decay(lr, settings.steps + 1, start=settings.steps // 2)
        adam = lambda net, lr, beta: Adam(net.params(), falling(lr), betas=(beta, 0.999))
        self.opt_G, self.opt_E = adam(self.G, settings.lr, 0.9), adam(self.E, settings.lr, 0.9)
        # a second one for E: each of its two gradients has averages of its own
        self.opt_E_game, self.opt_D = (adam(net, settings.lr_game, 0.5) for net in (self.E, self.D))

    @staticmethod
    def load_data(settings):
        return adversarial_nets.split(settings)[0]  # (N, H, W, C)

    def step(self, batches):
        x = xp.to_device(batches.next()).astype("float32") / 255  # (N, H, W, C)
        error = self.reconstruction_step(x)
        code, tape = self.E.forward(x)  # (N, latent)
        loss = self.discriminator_step(code)
        return {"error": error, "D": loss, "E": self.encoder_step(code, tape)}

    def reconstruction_step(self, x):
        # E and G descend |x - G(E(x))|^2
        code, E_tape = self.E.forward(x)
        y, G_tape = self.G.forward(code)
        error, dy = losses.l2(y, x)
        self.E.accumulate(E_tape, self.G.backward(G_tape, dy))  # into G and through it, into E
        self.opt_G.step()
        self.opt_E.step()
        return error

    def discriminator_step(self, code):
        # D ascends log D(z) + log(1 - D(E(x))): draws of the prior are what is real here
        real_logits, real_tape = self.D.forward(self.noise(len(code)))  # (N, 1)
        fake_logits, fake_tape = self.D.forward(code)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def encoder_step(self, code, E_tape):
        # E ascends log D(E(x))
        logits, D_tape = self.D.forward(code)
        loss, d_logits = losses.nonsaturating_generator(logits)
        d_code, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.E.accumulate(E_tape, d_code)  # into E
        self.opt_E_game.step()
        return loss

    def equilibrium(self):
        return {"D": 2 * np.log(2), "E": np.log(2)}

    def encode(self, images):
        """Return E(x) of uint8 pictures, (n, latent), on the host."""
        parts = [xp.to_device(images[i : i + 256]) for i in range(0, len(images), 256)]
        return np.concatenate([xp.to_host(self.E(x.astype("float32") / 255)) for x in parts])

    def generate(self, z):
        return 2 * self.G(z) - 1  # [-1, 1], as all models here


def perceptron(inputs, width, outputs, rng):
    first, second = Dense(inputs, width, rng=rng), Dense(width, width, rng=rng)
    return Sequential(first, ReLU(), second, ReLU(), Dense(width, outputs, rng=rng))


# ---- the command `codes` -------------------------------------------------------------------------


@dataclass
class CodesOptions:
    n: int = option(10_000, "samples, and training pictures in their place", minimum=10)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture (default: RUN/codes.png); numbers lie beside it")


def codes(Model, Settings, program, argv):
    """Print log-likelihoods, how normal codes are, and errors, beside baselines; draw x, G(E(x))."""
    run, options = command.parse_run(program, "codes", codes.__doc__, CodesOptions, argv)
    out = command.output(options, run, "codes.png")
    model = command.load(Model, Settings, run, options)
    train, validation = adversarial_nets.split(model.settings)
    test, n = metrics.held_out(model), options.n
    draw = lambda z: model.images(xp.to_device(z))
    z, z_train = model.encode(test.images), model.encode(train[:n])
    points = {
        "samples": rows(draw(model.latent(n, np.random.default_rng(0)))),
        "training pictures": rows(train[:n]), "their G(E(x))": rows(draw(z_train)),
        "means of 16 of them": metrics.smoothed(rows(train), n, 16),
    }  # fmt: skip
    report = {}
    for name, x in points.items():
        found = log_likelihood(x, rows(validation[:1000]), rows(test.images))
        report |= {f"{name}, {what}": number for what, number in found._asdict().items()}
    report |= metrics.errors(rows(train), rows(test.images), rows(draw(z)), z.shape[1])
    distances = metrics.distance_to_normal(z).tolist()
    report |= {f"distance to N(0, 1), number {i}": d for i, d in enumerate(distances, 1)}
    for name, number in report.items():
        print(f"{name:32}{number:10.4g}")
    command.write(metrics.picture(z, test, draw(z)), out)
    command.write_numbers(report, out.with_suffix(".json"))


if __name__ == "__main__":
    training.main(AAE, Settings, commands=[codes])
