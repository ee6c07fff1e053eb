"""LabelledModel: a GAN that is told classes; and how often its samples are of the class that was asked for."""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, plots, xp
from scratchgan.metrics import classifier
from scratchgan.training.command import load, parse_run, write_numbers
from scratchgan.training.model import Model, in_pieces
from scratchgan.training.settings import option


class LabelledModel(Model):
    """A GAN whose samples are asked for by class: write `sample(z, labels)`; settings.classes is K.

    Its data are images and labels from 0 to K - 1. Its pictures have a class a row, and in each column one z. Whoever
    asks for no class in particular is given 0, 1, ..., K - 1 in turn.
    """

    @staticmethod
    def load_data(settings):
        options = {"data_dir": settings.data_dir or None, "hold_out": settings.hold_out}
        pictures = data.load_images(settings.data, seed=settings.seed, **options)
        data.check_labels(pictures.labels, settings.classes)
        return pictures.images, pictures.labels

    def sample(self, z, labels):
        """Return G(z, labels), samples on the device, in inference mode; z and labels are on the device."""
        raise NotImplementedError(f"{type(self).__name__} has no sample")

    def generate(self, z, labels=None):
        return self.sample(z, xp.arange(len(z)) % self.settings.classes if labels is None else labels)

    def images(self, z, labels=None):
        """Return the samples G(z, labels) as images: uint8 (N, H, W, C), on the host."""
        labels = xp.arange(len(z)) % self.settings.classes if labels is None else labels
        return in_pieces(lambda some: self.sample(z[some], labels[some]), len(z))

    def separate(self, z, first):
        return self.images(z, xp.arange(first, first + len(z)) % self.settings.classes)

    def layout(self, n):
        return self.settings.classes, max(1, n // self.settings.classes)

    def picture(self, z):
        """Return a grid with a row for each class; the first len(z) // K latent vectors are the columns."""
        classes, columns = self.layout(len(z))
        labels = np.repeat(np.arange(classes), columns)  # 0, 0, ..., 1, 1, ...
        return plots.grid(self.images(xp.tile(z[:columns], (classes, 1)), xp.to_device(labels)), columns)

    def walk(self, z, steps):
        """Return a grid with a walk a row, the first of class 0, the next of class 1, ..."""
        labels = np.arange(len(z)) // steps % self.settings.classes
        return plots.grid(self.images(z, xp.to_device(labels)), steps)


# ---- the command `accuracy` ------------------------------------------------------------------------------


@dataclass
class AccuracyOptions:
    n: int = option(1000, "samples of each class", minimum=1)
    seed: int = option(0, "the latent vectors follow from it", minimum=0)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: RUN/accuracy.json)")


def accuracy(Model, Settings, program, argv):
    """Count how often the classifier names the class that a sample was asked for; write accuracy.json."""
    run, options = parse_run(program, "accuracy", accuracy.__doc__, AccuracyOptions, argv)
    model = load(Model, Settings, run, options)
    judge = classifier.load(model.settings.data)
    labels = np.repeat(np.arange(model.settings.classes), options.n)
    z = model.latent(len(labels), np.random.default_rng(options.seed))
    right = judge.predict(model.images(xp.to_device(z), xp.to_device(labels))) == labels
    each = right.reshape(-1, options.n).mean(axis=1)
    for label, share in enumerate(each):
        print(f"class {label}: {100 * share:.1f} %")
    print(f"class accuracy: {100 * right.mean():.2f} % of {len(labels):,} samples")
    numbers = {
        "n": len(labels), "classifier": judge.name, "hash": judge.hash,
        "accuracy on test images": judge.accuracy_on_test,
        "class accuracy": float(right.mean()), "of each class": each.tolist(),
    }  # fmt: skip
    write_numbers(numbers, options.out or run / "accuracy.json")
