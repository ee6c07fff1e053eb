"""A tiny GAN on pictures of 8 x 8 pixels, for the tests of training.

It holds state of every kind that a GAN may hold.
"""

import time
from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.layers import Dense, Dropout, Flatten, Layer, LeakyReLU, Reshape, Sequential, Tanh
from scratchgan.optim import EMA, Adam
from scratchgan.training import option

PLACES = ("forward", "pull", "gradient", "optimizer", "loss", "weight")


@dataclass
class Settings(training.Settings):
    steps: int = option(30, "training steps", minimum=1)
    batch_size: int = option(8, "samples", minimum=1)
    device: str = option("cpu", "where", choices=("auto", "cpu", "gpu"))
    latent: int = option(4, "length of z, at most 100% of it", minimum=1)
    loss: str = option("nonsaturating", "what is played for", choices=("nonsaturating", "minimax"))
    mirror: bool = option(False, "mirror the real samples")
    poison: int = option(0, "step in which a layer gives a NaN; 0: none", minimum=0)
    poison_where: str = option("forward", "where the NaN comes up", choices=PLACES)
    sleep: float = option(0.0, "seconds that a step lasts longer", minimum=0)
    n: int = option(20, "real samples", minimum=1)


class Poison(Layer):
    """y = x, until its `forward` or `pull` has been called a number of times: then NaN."""

    def __init__(self, method, calls):
        self.method, self.calls = method, calls
        self.count = xp.zeros(1, dtype="float32")  # an array, and so part of the state

    def __repr__(self):
        return "Poison()"

    def forward(self, x, train=True):
        return self.spoil("forward", x) if train else x, None

    def pull(self, tape, dy):
        return self.spoil("pull", dy), None

    def spoil(self, method, x):
        self.count += method == self.method
        return x * np.float32("nan") if method == self.method and self.count[0] == self.calls else x


class Tiny(training.Model):
    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        pixels = int(np.prod(shape))
        where = settings.poison_where
        # A step calls D's forward three times, and a gradient goes down through it as often.
        poison = Poison(where, 3 * settings.poison - 2 if where in ("forward", "pull") else 0)
        self.G = Sequential(
            Dense(settings.latent, 16, rng=rng), LeakyReLU(),
            Dense(16, pixels, rng=rng), Tanh(),
            Reshape(*shape),
        )  # fmt: skip
        self.D = Sequential(
            Flatten(),
            Dense(pixels, 16, rng=rng), LeakyReLU(), Dropout(0.3, rng=rng),
            poison,
            Dense(16, 1, rng=rng),
        )  # fmt: skip
        self.opt_G = Adam(self.G.params(), settings.lr)
        self.opt_D = Adam(self.D.params(), settings.lr)
        self.average = EMA(self.G, 0.9)
        self.k = 0.0  # becomes a NumPy number, as BEGAN's does
        self.taken = 0
        self.fakes = np.zeros((3, *shape), np.float32)
        self.history = []
        self.phase = {"name": "warm-up", "best": float("inf")}
        self.losses = losses.nonsaturating_discriminator, losses.nonsaturating_generator
        self.noises = [np.random.default_rng(5), np.random.default_rng(6)]

    @staticmethod
    def load_data(settings):
        rng = np.random.default_rng(settings.seed)
        return rng.integers(0, 256, (settings.n, 8, 8, 1), dtype=np.uint8)

    def step(self, batches):
        time.sleep(self.settings.sleep)
        self.taken += 1
        bad = self.taken == self.settings.poison
        real = xp.to_device(data.to_signed(batches.next()))
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        D_loss, d_real, d_fake = self.losses[0](real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)
        self.D.accumulate(fake_tape, d_fake)
        if bad and self.settings.poison_where == "gradient":
            self.D.layers[1].b.grad[0] = np.inf
        if bad and self.settings.poison_where == "optimizer":
            self.D.layers[1].W.grad[0] = 1e30  # whose square is too large for a float32
        self.opt_D.step()
        if bad and self.settings.poison_where == "weight":
            self.opt_G.flat.value[-1] = np.nan
        G_loss = self.generator_step(len(real))
        if bad and self.settings.poison_where == "loss":
            G_loss = G_loss * np.float32("nan")
        self.remember(fake, D_loss)
        return {"D": D_loss, "G": G_loss}

    def generator_step(self, n):
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = self.losses[1](logits)
        d_fake, _ = self.D.pull(D_tape, d_logits)
        self.G.accumulate(G_tape, d_fake)
        self.opt_G.step()
        self.average.update()
        return loss

    def remember(self, fake, loss):
        """State that feeds back into the training: whatever of it was forgotten would show in the weights."""
        self.k = self.k * 0.9 + loss * 0.1
        self.fakes[self.taken % 3] = fake[0]
        self.history = (self.history + [float(self.k)])[-5:]
        self.phase = {"name": "training", "best": min(self.phase["best"], float(loss))}
        noise = sum(float(rng.random()) for rng in self.noises)
        push = float(self.k) + self.taken + self.fakes.mean() + sum(self.history) + self.phase["best"] + noise
        self.D.layers[-1].b.value += 1e-4 * np.float32(push)

    def generate(self, z):
        return self.average.net(z)

    def report(self):
        return {"spread": self.generate(self.noise(10)).std(), "undefined": float("nan")}


if __name__ == "__main__":
    training.main(Tiny, Settings)
