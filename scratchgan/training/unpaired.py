"""Unpaired: a Translation between two kinds of pictures, there and back; and the command `confusion`."""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, xp
from scratchgan.data import domains
from scratchgan.metrics import classifier
from scratchgan.metrics.frechet import frechet
from scratchgan.metrics.pixels import psnr
from scratchgan.support.errors import SettingsError, UserError
from scratchgan.training.command import load, parse_run, write_numbers
from scratchgan.training.evaluate import fitted
from scratchgan.training.settings import option
from scratchgan.training.translation import REPORTED, Comparison, Translation

KINDS = {"glyphs": ("glyphs", "outlines"), "mnist": ("mnist", "glyphs")}  # whose classifiers know A and B
NOISE = 1 / 127.5  # one of the 256 greys, where black is -1 and white 1
STREAM = 1  # of the noise of a report, which is the same each time


class Unpaired(Translation):
    """A Translation from A to B and back, with no pairs to learn from: write `translate`, `translate_back`, `step`.

    z is (N, H, W_, 2 C): a picture of A and one of B. Training data are (A, B). Where the test pictures are pairs, as
    those of glyphs are, each is the other's truth.
    """

    shown = ("a", "G(a)", "b", "F(b)")
    classes = "glyphs"

    @staticmethod
    def load_pairs(settings, split):
        if settings.size % 2:
            raise SettingsError(f"--size must be even, not {settings.size}: the generators halve it.")
        options = {"size": settings.size, "channels": settings.channels, "seed": settings.seed}
        options |= {"data_dir": settings.data_dir or None, "hold_out": settings.hold_out}
        return domains.load(settings.data, split=split, **options)

    def translate_back(self, x):
        """Return what becomes of x, a picture of B, on the device, in inference mode."""
        raise NotImplementedError(f"{type(self).__name__} has no translate_back")

    @classmethod
    def load_data(cls, settings):
        B, A = super().load_data(settings)
        return A, B

    def columns(self, z):
        a, b = (data.to_bytes(xp.to_host(kind)) for kind in self.split(z))
        return a, self.translated(a), b, self.translated(b, self.translate_back)

    def comparisons(self, n):
        """Return {direction: Comparison} of n test pairs; raise UserError where test pictures are no pairs."""
        if self.settings.data != "glyphs":
            truth = "nobody knows what a picture should have become"
            other = "confusion" if self.settings.data in KINDS else "sample, and look"
            raise UserError(f"evaluate measures pairs, and of --data {self.settings.data} {truth}: use {other}.")
        a, b, labels = self.held_out_pairs().rows(slice(0, n))
        there, back = self.translated(a), self.translated(b, self.translate_back)
        # Labels for filled glyphs alone: the classifier of `evaluate` has seen no outlines.
        return {"A to B": Comparison(a, there, b), "B to A": Comparison(b, back, a, labels)}

    def report(self):
        told = {}
        if self.settings.data == "glyphs":
            told = {f"PSNR {way}": psnr(p.outputs, p.truths).mean() for way, p in self.comparisons(REPORTED).items()}
        return told | self.homecoming(REPORTED)

    def homecoming(self, n):
        """Return how far F(G(a)) is from a, and how far with noise of one grey value on G(a): E |.|, of n pictures.

        Where the second is much larger, G has hidden in faint traces what F needs (Chu et al. 2017).
        """
        a = self.held_out_pairs().inputs[:n]
        rng = np.random.default_rng(STREAM)

        def disturbed(x):
            y = self.translate(x)
            return self.translate_back(y + xp.to_device(NOISE * rng.standard_normal(y.shape, dtype=np.float32)))

        home = {"cycle": lambda x: self.translate_back(self.translate(x)), "cycle, noise": disturbed}
        return {name: float(np.abs(self.infer(f, a) - data.to_signed(a)).mean()) for name, f in home.items()}


# ---- the command `confusion` -----------------------------------------------------------------------------


@dataclass
class ConfusionOptions:
    n: int = option(2000, "test pictures of each kind", minimum=1)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: RUN/confusion.json)")


def confusion(Model, Settings, program, argv):
    """Count as what each class comes out, by a classifier of the other kind; write confusion.json."""
    run, options = parse_run(program, "confusion", confusion.__doc__, ConfusionOptions, argv)
    model = load(Model, Settings, run, options)
    if model.settings.data not in KINDS:
        raise UserError(f"The pictures of {model.settings.data} have no classes that both kinds share.")
    judges = [classifier.load(kind) for kind in KINDS[model.settings.data]]  # of A, of B
    a, b, labels = model.held_out_pairs().rows(slice(0, options.n))
    numbers = {"n": len(labels), "classifiers": {judge.name: judge.hash for judge in judges}}
    for way, judge, x, network, own in (
        ("A to B", judges[1], a, model.translate, b),
        ("B to A", judges[0], b, model.translate_back, a),
    ):
        numbers[way] = judged(judge, x, model.translated(x, network), own, labels)
        print(f"{way}, by {judge.name}\n{text(numbers[way])}")
    write_numbers(numbers, options.out or run / "confusion.json")


def judged(judge, inputs, outputs, wanted, labels):
    """Return what a classifier says of pictures before and after translation, and of real ones of the wanted kind.

    Its features tell how far the first two are from the real ones: a class that is kept says nothing alone.
    """
    seen = [fitted(images, judge.shape) for images in (inputs, outputs, wanted)]
    classes, features = map(judge.predict, seen), list(map(judge.features, seen))
    names = ("untranslated", "translated", "real")
    table, named = np.zeros((10, 10), int), dict(zip(names, classes, strict=True))
    np.add.at(table, (labels, named["translated"]), 1)
    right = {name: float((own == labels).mean()) for name, own in named.items()}
    distance = dict(zip(names, (frechet(own, features[2]) for own in features[:2]), strict=False))
    changed = float(np.abs(data.to_signed(outputs) - data.to_signed(inputs)).mean())
    return {"class kept": right, "changed by": changed, "FID-LeNet": distance, "matrix": table.tolist()}


def text(numbers):
    """Return what `judged` returned as lines for people: a row for each class that went in."""
    rows = [f"  {digit} | " + " ".join(f"{count:4}" for count in row) for digit, row in enumerate(numbers["matrix"])]
    kept = ", ".join(f"{name} {100 * share:.1f} %" for name, share in numbers["class kept"].items())
    far = ", ".join(f"{name} {distance:.0f}" for name, distance in numbers["FID-LeNet"].items())
    changed = f"  pixels changed by {numbers['changed by']:.3f}; FID-LeNet to real ones: {far}"
    return "\n".join([*rows, f"  right class: {kept}", changed])
