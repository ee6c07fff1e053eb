"""A tiny translation of pictures of 12 x 12 pixels, for the tests of training.Translation: to the negative."""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.layers import Dense
from scratchgan.optim import Adam
from scratchgan.support.errors import DataError
from scratchgan.training import option

LOADED = []  # the splits that were asked for


@dataclass
class Settings(training.Settings):
    steps: int = option(30, "training steps", minimum=1)
    batch_size: int = option(8, "pairs", minimum=1)
    lr: float = option(0.1, "learning rate", minimum=1e-12)
    device: str = option("cpu", "where", choices=("auto", "cpu", "gpu"))
    channels: int = option(1, "of a picture", choices=(1, 3))
    labelled: bool = option(True, "whether classes are known")
    noise: float = option(0.0, "of the outputs", minimum=0)
    missing: bool = option(False, "whether test pairs are missing")
    enlarged: bool = option(False, "whether truths are of another size")
    no_step: bool = option(False, "whether nothing shall be learned")


class Negative(training.Translation):
    """y = x W + b, of each pixel; the truth is -x."""

    classes = "characters"

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G = Dense(shape[-1], shape[-1], rng=rng)
        self.opt_G = Adam(self.G.params(), settings.lr)

    @staticmethod
    def load_pairs(settings, split):
        LOADED.append(split)
        if settings.missing and split == "test":
            raise DataError("There are no test pairs: make some.")
        n, rng = (60, np.random.default_rng(0)) if split == "train" else (40, np.random.default_rng(1))
        inputs = rng.integers(0, 256, (n, 12, 12, settings.channels), np.uint8)
        truths = 255 - (inputs.repeat(2, axis=1).repeat(2, axis=2) if settings.enlarged else inputs)
        return data.Pairs(inputs, truths, rng.integers(0, 62, n) if settings.labelled else None)

    def step(self, batches):
        y, x = (xp.to_device(data.to_signed(images)) for images in batches.next())
        fake, tape = self.G.forward(x)
        loss, d_fake = losses.l1(fake, y)
        if self.settings.no_step:
            return {"L1": loss}
        self.G.accumulate(tape, d_fake)
        self.opt_G.step()
        return {"L1": loss}

    def translate(self, x):
        noise = self.rng.standard_normal(x.shape, dtype=np.float32)
        return self.G(x) + np.float32(self.settings.noise) * xp.to_device(noise)


class Perfect(Negative):
    def translate(self, x):
        return -x


class Both(Negative):
    """Two directions."""

    def comparisons(self, n):
        pairs = self.held_out_pairs().rows(slice(0, n))
        back = training.Comparison(pairs.truths, self.translated(pairs.truths, lambda x: -x), pairs.inputs)
        return {"there": super().comparisons(n)[""], "back": back}
