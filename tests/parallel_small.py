"""Four small GANs that several processes can train: on their own or, as a script, under mpiexec.

    mpiexec -n 2 python tests/parallel_small.py compute FOLDER     # each process writes its weights
    mpiexec -n 2 python tests/parallel_small.py --out RUN          # the command line of an example
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchgan import data, losses, parallel, penalties, training
from scratchgan.data import Batches
from scratchgan.fast import threads
from scratchgan.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from scratchgan.optim import Adam
from scratchgan.training import option, together
from scratchgan.weights import spectral_norm

COMPUTED = (*[(kind, "float32") for kind in ("mlp", "dcgan", "wgan_gp", "spectral")], ("mlp", "float64"))
KINDS, DTYPES, STEPS = ("mlp", "dcgan", "wgan_gp", "spectral"), ("float32", "float64"), 20


@dataclass
class Settings(training.Settings):
    steps: int = option(20, "training steps", minimum=1)
    batch_size: int = option(12, "samples", minimum=1)
    device: str = option("cpu", "where", choices=("auto", "cpu", "gpu"))
    threads: int = option(1, "threads", minimum=0)
    latent: int = option(4, "length of z", minimum=1)
    kind: str = option("mlp", "the networks", choices=KINDS)
    dtype: str = option("float32", "of the weights", choices=DTYPES)
    sleep: float = option(0.0, "seconds that a step lasts longer", minimum=0)
    spoil: int = option(0, "step after which the second process moves a weight; 0: none", minimum=0)
    die: int = option(0, "step after which the second process kills itself; 0: none", minimum=0)
    fail: int = option(0, "step after which the second process raises an error; 0: none", minimum=0)
    nan: int = option(0, "step in which a gradient of the second process is a NaN; 0: none", minimum=0)


class Small(training.Model):
    """Pictures of 8 x 8 pixels; the non-saturating game, or with a gradient penalty a critic."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = (network.astype(settings.dtype) for network in self.networks(settings.kind, rng))
        self.opt_G, self.opt_D = Adam(self.G.params(), settings.lr), Adam(self.D.params(), settings.lr)

    def networks(self, kind, rng):
        convolutional = Sequential(
            Dense(self.settings.latent, 64, bias=False, rng=rng), Reshape(4, 4, 4), BatchNorm(4), ReLU(),
            ConvTranspose2d(4, 1, 4, stride=2, padding=1, rng=rng), Tanh(),
        )  # fmt: skip
        plain = Sequential(
            Dense(self.settings.latent, 16, rng=rng), LeakyReLU(), Dense(16, 64, rng=rng), Tanh(), Reshape(8, 8, 1)
        )
        norm = [BatchNorm(6)] if kind == "dcgan" else []
        D = Sequential(
            Conv2d(1, 4, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2),
            Conv2d(4, 6, 3, padding=1, bias=not norm, rng=rng), *norm, LeakyReLU(0.2), Flatten(), Dense(96, 1, rng=rng),
        )  # fmt: skip
        if kind == "mlp":
            D = Sequential(Flatten(), Dense(64, 16, rng=rng), LeakyReLU(), Dropout(0.3, rng=rng), Dense(16, 1, rng=rng))
        if kind == "spectral":
            spectral_norm(D, rng=rng)
        return plain if kind == "mlp" else convolutional, D

    @staticmethod
    def load_data(settings):
        return np.random.default_rng(settings.seed).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)

    def latent(self, n, rng):
        return rng.standard_normal((n, self.settings.latent), dtype=np.float32).astype(self.settings.dtype)

    def step(self, batches):
        time.sleep(self.settings.sleep)
        real = data.to_signed(batches.next()).astype(self.settings.dtype)
        losses = {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}
        self.misbehave(self.opt_D.steps)
        return losses

    def discriminator_step(self, real):
        fake, _ = self.G.forward(self.noise(len(real)))
        critic = self.settings.kind == "wgan_gp"
        loss = losses.wasserstein_discriminator if critic else losses.nonsaturating_discriminator
        real_score, real_tape = self.D.forward(real)
        fake_score, fake_tape = self.D.forward(fake)
        value, d_real, d_fake = loss(real_score, fake_score)
        self.D.accumulate(real_tape, d_real)
        self.D.accumulate(fake_tape, d_fake)
        if critic:
            penalties.wgan_gp(self.D, real, fake, rng=self.rng)
        if parallel.group().rank == 1 and self.opt_D.steps + 1 == self.settings.nan:
            self.opt_D.flat.grad[0] = np.nan
        self.opt_D.step()
        return value

    def generator_step(self, n):
        fake, G_tape = self.G.forward(self.noise(n))
        score, D_tape = self.D.forward(fake)
        value, d_score = losses.nonsaturating_generator(score)
        self.G.accumulate(G_tape, self.D.pull(D_tape, d_score)[0])
        self.opt_G.step()
        return value

    def misbehave(self, step):
        """Do what goes wrong in one of several processes."""
        if parallel.group().rank != 1 or step == 0:  # a trial before the first step, which moves nothing
            return
        if step == self.settings.spoil:
            self.G.params()[1].value[0] += 1e-3
        if step == self.settings.die:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == self.settings.fail:
            raise RuntimeError("something unforeseen")

    def generate(self, z):
        return self.G(z)


def trained(kind, dtype, Model=Small, steps=STEPS):
    """Return the state of a model that this process has trained, alone or with others."""
    settings = Settings(kind=kind, dtype=dtype)
    rng = together.Shared(np.random.default_rng(1).bit_generator, lambda size: None)
    model = Model(settings, (8, 8, 1), rng)
    rng.demand = None
    batches = Batches(Model.load_data(settings), batch_size=12, rng=np.random.default_rng(2))
    for _ in range(steps):
        model.step(batches)
    return model.state()


def compute(folder):
    """Train some, and write the weights of this process."""
    threads.use(1)
    group = parallel.join()
    for kind, dtype in COMPUTED:
        np.savez(Path(folder, f"{kind}-{dtype}-{group.rank}.npz"), **trained(kind, dtype))


if __name__ == "__main__":
    if sys.argv[1] == "compute":
        compute(sys.argv[2])
    else:
        training.main(Small, Settings)
