"""Enlarger: a Translation of low pictures to large ones; and the command `table`, which compares ways to enlarge."""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, plots
from scratchgan.data import glyphs, photos, scales
from scratchgan.metrics import classifier, pixels
from scratchgan.metrics.frechet import frechet
from scratchgan.training import evaluate
from scratchgan.training.command import load, parse_run, write, write_numbers
from scratchgan.training.settings import option
from scratchgan.training.translation import Comparison, Translation

SIDE = 32  # of a large picture to train on
TIMES = 4  # pixels of a large picture for one of a low one, along each side
ROWS = 8  # of the picture of a table


class Enlarger(Translation):
    """A Translation whose inputs are low pictures with squares of TIMES x TIMES equal pixels: write `enlargers`.

    So an input has the shape of its truth, and is what "nearest" makes of a low picture.
    """

    shown = ("low", "first network", "last network", "truth")

    @staticmethod
    def load_pairs(settings, split):
        return pairs(load_large(settings, split))

    @property
    def classes(self):
        return {"glyphs": "characters"}.get(self.settings.data)

    def enlargers(self):
        """Return {name: network} of those that are trained by now, the last one being what `translate` takes."""
        raise NotImplementedError(f"{type(self).__name__} has no enlargers")

    def translate(self, x):
        return list(self.enlargers().values())[-1](low(x))

    def comparisons(self, n):
        known = self.held_out_pairs().rows(slice(0, n))
        made = {name: self.enlarged(known.inputs, net) for name, net in self.enlargers().items()}
        return {name: Comparison(known.inputs, images, known.truths, known.labels) for name, images in made.items()}

    def enlarged(self, inputs, net):
        """Return what a network makes of uint8 inputs, on the host."""
        return self.translated(inputs, lambda x: net(low(x)))

    def columns(self, z):
        inputs, outputs, truths = super().columns(z)
        first = next(iter(self.enlargers().values()))
        return inputs, self.enlarged(inputs, first), outputs, truths


def low(x):
    """Return the low pictures of inputs, one pixel for each square."""
    return x[:, ::TIMES, ::TIMES].copy()


def load_large(settings, split):
    """Return Images of one split, as settings.data says: glyphs, photos, or a folder, one in ten of it held out."""
    n, seed = data.pairs.DRAWN[split], settings.seed if split == "train" else [settings.seed, 1]
    n = 2 * n if split == "train" else n  # 20,000: a low picture has few pixels
    if settings.data == "glyphs":
        return glyphs.load(n, size=SIDE, characters=glyphs.CHARACTERS, seed=seed)
    asked = {"size": SIDE, "channels": settings.channels, "split": split}
    if settings.data == "photos":
        return data.Images(photos.load(n, seed=seed, **asked))
    return data.load_images(settings.data, data_dir=settings.data_dir or None, hold_out=True, **asked)


def pairs(large):
    """Return `data.Pairs` of Images: inputs are what is left of them at a low size, in squares."""
    truths = scales.cut(large.images, TIMES)
    inputs = scales.enlarge(scales.shrink(truths, TIMES), TIMES, "nearest")
    return data.Pairs(inputs, truths, large.labels)


# ---- the command `table` -----------------------------------------------------------------------------------


@dataclass
class TableOptions:
    n: int = option(2000, "held-out pictures", minimum=20)
    classifier: str = option("", "weights of examples/uses/classifier.py (default: runs/classifiers/DATA.npz)")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: RUN/table.json)")


def table(Model, Settings, program, argv):
    """Compare the networks with nearest, bicubic and Lanczos; write table.json, and some rows as table.png."""
    run, options = parse_run(program, "table", table.__doc__, TableOptions, argv)
    model = load(Model, Settings, run, options)
    judge = classifier.load(model.classes, options.classifier or None) if model.classes else None
    known = model.held_out_pairs().rows(slice(0, options.n))
    ways = ways_of(model, known.inputs) | {"truth": known.truths}
    numbers = {name: measured(images, known, judge) for name, images in ways.items()}
    if model.settings.data == "photos":
        for photo in photos.TEST:
            for name, value in whole(model, photo).items():
                numbers[name][f"PSNR, whole {photo.partition('.')[0]}"] = value
    print(text(numbers))
    write_numbers({"n": len(known.inputs)} | numbers, options.out or run / "table.json")
    beside = np.stack([images[:ROWS] for images in ways.values()], axis=1)
    write(plots.grid(beside.reshape(-1, *known.truths.shape[1:]), columns=len(ways)), run / "table.png")


def ways_of(model, inputs):
    """Return {name: uint8 images} of each way to enlarge inputs, without learning and with it."""
    small = low(inputs)
    plain = {kernel: scales.enlarge(small, TIMES, kernel) for kernel in scales.KERNELS}
    return plain | {name: model.enlarged(inputs, net) for name, net in model.enlargers().items()}


def measured(images, known, judge):
    """Return {name: number} of images beside the truths; features are a classifier's, if there is a judge."""
    numbers = pixels.compared(images, known.truths)
    if judge is not None:
        numbers["class accuracy-LeNet"] = judge.accuracy(evaluate.fitted(images, judge.shape), known.labels)
        features = [judge.features(evaluate.fitted(some, judge.shape)) for some in (images, known.truths)]
        numbers["FID-LeNet"] = frechet(*features)
    return {name: None if np.isinf(number) else number for name, number in numbers.items()}


def whole(model, photo):
    """Return {way: PSNR} of a whole photograph: a convolutional network takes one of any size."""
    truth = scales.cut(photos.read(photo, channels=model.shape[-1])[None], TIMES)
    inputs = scales.enlarge(scales.shrink(truth, TIMES), TIMES, "nearest")
    return {name: float(pixels.psnr(images, truth)[0]) for name, images in ways_of(model, inputs).items()}


def text(numbers):
    """Return a table as lines for people: a row for each number, a column for each way."""
    names = dict.fromkeys(name for row in numbers.values() for name in row)
    return evaluate.text({name: [row.get(name) for row in numbers.values()] for name in names}, list(numbers))
