"""Translation: a Model that makes a picture of a picture, measured on pairs that it has not seen."""

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np

from scratchgan import data, plots, xp
from scratchgan.metrics.pixels import psnr
from scratchgan.support.errors import UserError
from scratchgan.training.model import Model

REPORTED = 256  # held-out pairs that a report looks at


class Comparison(NamedTuple):
    """Pictures before and after translation, and what they should have become: uint8 (n, H, W_, C), on the host."""

    inputs: np.ndarray
    outputs: np.ndarray
    truths: np.ndarray
    labels: np.ndarray | None = None  # (n,), int64


class Translation(Model):
    """A Model whose z is a picture to translate. Subclass it: write `load_pairs`, `step` and `translate`.

    z is (N, H, W_, 2 C): an input and, beside it in the channels, its truth, which only a picture of samples looks at.
    Training data are (truths, inputs), so that `shape` is that of what comes out.
    """

    classes = None  # whose classifier shall recognise what comes out, such as "characters"; None: nobody's
    shown = ("input", "output", "truth")  # what `columns` returns, side by side in a picture of samples

    # ---- to be written for each model ----

    @staticmethod
    def load_pairs(settings, split):
        """Return `data.Pairs`, of one split: train, or test, which no training sees."""
        raise NotImplementedError

    def translate(self, x):
        """Return what becomes of inputs x (N, H, W_, C), on the device, in inference mode."""
        raise NotImplementedError(f"{type(self).__name__} has no translate")

    # ---- what follows from these ----

    @classmethod
    def load_data(cls, settings):
        pairs = cls.load_pairs(settings, "train")
        held_out(cls, settings)  # what is wrong with test pairs is told now, before a run begins
        return pairs.truths, pairs.inputs

    def held_out_pairs(self):
        """Return the test pairs, which are loaded once."""
        return held_out(type(self), self.settings)

    def latent(self, n, rng):
        """Return n held-out inputs that rng chooses, their truths beside them: float32 (n, H, W_, 2 C).

        Raises ValueError where the two have different shapes: then a model needs a `latent` and a `split` of its own.
        """
        pairs = self.held_out_pairs()
        if pairs.inputs.shape != pairs.truths.shape:
            raise ValueError(f"latent: inputs {pairs.inputs.shape} and truths {pairs.truths.shape}, wanted one shape")
        chosen = pairs.rows(rng.choice(len(pairs.inputs), n, replace=n > len(pairs.inputs)))
        return np.concatenate([data.to_signed(chosen.inputs), data.to_signed(chosen.truths)], axis=-1)

    def generate(self, z):
        x, _ = self.split(z)
        return self.translate(x)

    def split(self, z):
        """Return the inputs and the truths of z."""
        channels = z.shape[-1] // 2
        return z[..., :channels], z[..., channels:]

    def columns(self, z):
        """Return what a picture of samples has side by side: uint8 images, inputs, outputs and truths."""
        inputs, truths = (data.to_bytes(xp.to_host(part)) for part in self.split(z))
        return inputs, self.images(z), truths

    def picture(self, z):
        beside = np.stack(self.columns(z), axis=1)  # (N, 3, H, W_, C)
        _, wide = self.layout(len(z))
        return plots.grid(beside.reshape(-1, *beside.shape[2:]), columns=wide)

    def layout(self, n):
        """Return (rows, columns) of the images of n samples: those of one sample stay in one row."""
        k = len(self.shown)
        samples = math.ceil(math.sqrt(k * n) / k)  # in a row
        return math.ceil(n / samples), k * samples

    def walk(self, z, steps):
        """Raise UserError: between two pictures there is no latent space."""
        raise UserError(f"interpolate walks through latent space, and {type(self).__name__} has none: use sample.")

    def report(self):
        pairs = self.comparisons(REPORTED)
        return {f"PSNR{name and ' '}{name}": psnr(pair.outputs, pair.truths).mean() for name, pair in pairs.items()}

    def comparisons(self, n):
        """Return {name: Comparison} of n held-out pairs; a model of one direction has one, of no name."""
        pairs = self.held_out_pairs().rows(slice(0, n))
        return {"": Comparison(pairs.inputs, self.translated(pairs.inputs), pairs.truths, pairs.labels)}

    def translated(self, images, translate=None):
        """Return what becomes of uint8 images (n, H, W_, C), on the host; by another function of x, if given."""
        return data.to_bytes(self.infer(translate or self.translate, images))


def held_out(Model, settings):
    """Return the test pairs of a Model with these settings."""
    return load_once(Model.load_pairs, type(settings), dataclasses.astuple(settings))


@functools.lru_cache(maxsize=4)
def load_once(load_pairs, Settings, values):
    """Return the test pairs that these settings ask for."""
    return load_pairs(Settings(*values), "test")
