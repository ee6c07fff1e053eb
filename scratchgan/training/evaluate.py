"""What a GAN has learned, as numbers: metrics of its samples, each beside that of training data in their place.

Training data that stand for G's samples reach the floor: what a perfect G would have, against the same held-out data
and with the same number of samples.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from scratchgan import data, xp
from scratchgan.fast import threads
from scratchgan.metrics import classifier, modes, pixels
from scratchgan.metrics.frechet import frechet
from scratchgan.metrics.kernel import kernel_distance
from scratchgan.metrics.neighbours import density_coverage, memorization, precision_recall
from scratchgan.metrics.parzen import log_likelihood
from scratchgan.metrics.path import path_length
from scratchgan.metrics.score import score
from scratchgan.metrics.similarity import similarity_of_pairs
from scratchgan.metrics.wasserstein import sliced, transport
from scratchgan.support.errors import UserError
from scratchgan.support.files import write_json
from scratchgan.training import state as states
from scratchgan.training.sequences import Sequences
from scratchgan.training.translation import Translation

FEWEST = 20  # samples that say anything about a distribution
TRANSPORTED = 500  # points of an exact optimal transport, whose time grows as the cube


def prepare(model, n=0, path=""):
    """Return the evaluation of a model: an `ImageEvaluation` if its samples are images, else a `PointEvaluation`.

    That of a `Translation` is a `PairEvaluation`, that of `Sequences` a `SequenceEvaluation`. n: samples to draw, 0:
    10,000 images, 2,500 points, 2,000 pairs or sequences; path: the classifier's file, if not where it is written.
    Raises UserError where the classifier is missing, the data have no test split, or there are too few of them.
    """
    if isinstance(model, Translation):
        return PairEvaluation(model, n or 2000, path)
    if isinstance(model, Sequences):
        return SequenceEvaluation(model, n or 2000)
    if len(model.shape) not in (1, 3):
        raise UserError(f"evaluate measures images and points: samples of this model have the shape {model.shape}.")
    return ImageEvaluation(model, n or 10_000, path) if len(model.shape) == 3 else PointEvaluation(model, n or 2500)


class Sample(NamedTuple):
    """Images or points, (n, ...), and their features, (n, D): of points, they themselves."""

    data: np.ndarray
    features: np.ndarray

    def first(self, n):
        return Sample(self.data[:n], self.features[:n])


class Evaluation:
    """Training data and as many held-out ones, against which samples of a model are measured.

    A subclass says what a `sample` of data is, how to `draw` one from a model, and what else there is `of_model`.
    """

    suffix = ""  # of a metric's name: the network whose features it looks at
    columns = ("samples", "floor")  # of a table

    def __init__(self, model, n, train, held_out):
        self.settings, self.n = model.settings, min(n, len(train), len(held_out))
        if self.n < FEWEST:
            raise UserError(f"evaluate would compare {self.n} samples: {FEWEST} is the least (--n, and as many data).")
        rng = np.random.default_rng(self.settings.seed)
        self.train = rng.permutation(train)
        self.held_out = self.sample(rng.permutation(held_out)[: self.n])

    def follow(self, model):
        """Return {name: number}: those metrics that are quick, for the log of a training."""
        with states.generators_kept(model):  # looking at a model must not change what it does next
            return self.quick(self.draw(model))

    def floor(self):
        """Return {name: number}: what `follow` finds where training data stand for G's samples."""
        return self.quick(self.sample(self.train[: self.n]))

    def table(self, model):
        """Return {name: (value, floor)}: every metric of G's samples, and of training data in their place."""
        threads.use(0, blas=xp.on_gpu())  # convolutions first, large matrix products after that
        fake, train = self.draw(model), self.sample(self.train)
        threads.use(0, blas=True)
        values, floors = self.every(fake), self.every(train.first(self.n))
        table = {name: (value, floors[name]) for name, value in values.items()}
        known, fresh = self.held_out.features[::2], self.held_out.features[1::2]
        copies, chance = (memorization(train.features, known, x).nearer for x in (fake.features, fresh))
        return table | {f"nearer to training data{self.suffix}": (copies, chance)} | self.of_model(model)

    def quick(self, sample):
        """Return {name: number} of a sample: its distances from the held-out data."""
        x, real, suffix = sample.features, self.held_out.features, self.suffix
        precision, recall = precision_recall(real, x)
        density, coverage = density_coverage(real, x)
        return {
            f"FID{suffix}" if suffix else "Fréchet distance": frechet(x, real),
            f"KID{suffix}" if suffix else "kernel distance": kernel_distance(x, real),
            f"precision{suffix}": precision, f"recall{suffix}": recall,
            f"density{suffix}": density, f"coverage{suffix}": coverage,
            f"sliced Wasserstein{suffix}": sliced(x, real, rng=np.random.default_rng(0)),
        }  # fmt: skip

    def every(self, sample):
        """Return {name: number} of a sample: the quick ones, and those that take longer."""
        n = min(TRANSPORTED, self.n)
        distance, _ = transport(sample.features[:n], self.held_out.features[:n])
        return self.quick(sample) | {f"transport{self.suffix}, {n} samples": distance}


# ---- images ----------------------------------------------------------------------------------------------


class ImageEvaluation(Evaluation):
    """Images are compared with the test split, through the features and labels of a classifier."""

    suffix = "-LeNet"

    def __init__(self, model, n, path=""):
        settings = model.settings
        options = {"data_dir": settings.data_dir or None, "size": model.shape[0], "channels": model.shape[-1]}
        options |= {"seed": settings.seed, "split": "test", "hold_out": settings.hold_out}
        test = data.load_images(settings.data, **options).images
        self.classifier = classifier.load(settings.data, path or None)  # second: it may be slow to make
        self.facts = {"classifier": self.classifier.name, "hash": self.classifier.hash,
                      "accuracy on test images": self.classifier.accuracy_on_test}  # fmt: skip
        super().__init__(model, n, load(model, settings), test)
        self.classes = self.counts(self.held_out)

    def sample(self, images):
        """Return images with their features; if need be colours are made grey, and other sizes resized."""
        images = fitted(images, self.classifier.shape)
        return Sample(images, self.classifier.features(images))

    def draw(self, model):
        z = model.latent(self.n, np.random.default_rng([self.settings.seed, self.n]))
        return self.sample(model.images(xp.to_device(z)))

    def quick(self, sample):
        counts = self.counts(sample)
        differ = modes.divergences(counts, self.classes)
        return super().quick(sample) | {
            "LeNet score": score(self.logits(sample)), "classes covered": int((counts > 0).sum()),
            "reverse KL of classes": differ.reverse_kl, "Jensen-Shannon of classes": differ.jensen_shannon,
        }  # fmt: skip

    def every(self, sample):
        pixels, test = (images.reshape(self.n, -1) / 255 for images in (sample.data, self.held_out.data))
        some = self.n // 10  # test images that choose the width; the others are measured
        return super().every(sample) | {
            "MS-SSIM within a class": self.similarity(sample),
            "Parzen log-likelihood, nats": log_likelihood(pixels, test[:some], test[some:]).mean,
        }

    def of_model(self, model):
        """Return {name: (value, None)} of what has no meaning for data."""
        if model.shape != self.classifier.shape:
            return {}
        features = lambda z: self.classifier.body(model.generate(z))
        length = path_length(features, model.latent, rng=np.random.default_rng(0), n=min(self.n, 2000))
        return {"path length-LeNet": (length, None)}

    def logits(self, sample):
        return self.classifier.head(xp.to_device(sample.features))

    def counts(self, sample):
        """Return how many images the classifier puts in each class."""
        logits = self.logits(sample)
        return modes.class_counts(logits.argmax(axis=1), logits.shape[1])

    def similarity(self, sample):
        """Return how similar two images are that the classifier puts into one class, the mean over the classes."""
        labels, rng = xp.to_host(self.logits(sample).argmax(axis=1)), np.random.default_rng(0)
        classes = [sample.data[labels == label] for label in np.unique(labels)]
        means = [similarity_of_pairs(images, rng=rng, pairs=200) for images in classes if len(images) > 1]
        return float(np.mean(means)) if means else math.nan


# ---- points in the plane ---------------------------------------------------------------------------------


class PointEvaluation(Evaluation):
    """Points are compared with others that are drawn as the training data were, with the next seed."""

    def __init__(self, model, n):
        settings = model.settings
        self.facts, self.mixture = {}, model.mixture()
        others = load(model, dataclasses.replace(settings, seed=settings.seed + 1))
        super().__init__(model, n, load(model, settings)[: 4 * n], others)

    def sample(self, points):
        return Sample(points, points)

    def draw(self, model):
        z = model.latent(self.n, np.random.default_rng([self.settings.seed, self.n]))
        return self.sample(xp.to_host(model.generate(xp.to_device(z))))

    def quick(self, sample):
        distances = super().quick(sample)
        if self.mixture is None or self.mixture.centers is None:
            return distances
        centers = self.mixture.centers
        covered = modes.coverage(sample.data, centers, self.mixture.std)
        differ = modes.divergences(modes.counts(sample.data, centers))
        return distances | {
            "modes covered": covered.covered, "high-quality share": covered.high_quality,
            "reverse KL of modes": differ.reverse_kl, "Jensen-Shannon of modes": differ.jensen_shannon,
        }  # fmt: skip

    def of_model(self, model):
        return {}


# ---- pairs of pictures -----------------------------------------------------------------------------------


class PairEvaluation:
    """Translated pictures are compared with what they should have become; so are the inputs as they are, and truths.

    What a classifier says of the truths themselves is the floor: some characters cannot be told apart. Raises
    UserError where a classifier is given, and no test picture has a label that it could be held against.
    """

    columns = ("output", "input", "truth")

    def __init__(self, model, n, path=""):
        with states.generators_kept(model):
            comparisons = model.comparisons(n)
        self.n, self.asked = max(len(pair.inputs) for pair in comparisons.values()), n
        labelled = model.classes and any(pair.labels is not None for pair in comparisons.values())
        if path and not labelled:
            raise UserError(f"These test pictures have no classes that {path} could recognise: leave out --classifier.")
        self.classifier = classifier.load(model.classes, path or None) if labelled else None
        self.facts = {"classifier": self.classifier.name, "hash": self.classifier.hash} if labelled else {}
        self.before = {name: pair._replace(outputs=pair.inputs) for name, pair in comparisons.items()}
        self.wanted = {name: pair._replace(outputs=pair.truths) for name, pair in comparisons.items()}

    def table(self, model):
        """Return {name: (value of the output, of the input, of the truth)}."""
        values, before, wanted = self.follow(model), self.floor(), self.measure(self.wanted)
        return {name: (value, before.get(name), wanted[name]) for name, value in values.items()}

    def follow(self, model):
        """Return {name: number} of the pictures that a model makes now."""
        with states.generators_kept(model):  # looking at a model must not change what it does next
            return self.measure(model.comparisons(self.asked))

    def floor(self):
        """Return {name: number} of the inputs, as if they were the outputs; nothing where they are of another shape."""
        same = {name: pair for name, pair in self.before.items() if pair.inputs.shape[1:] == pair.truths.shape[1:]}
        return self.measure(same)

    def measure(self, comparisons):
        table = {}
        for name, (_, outputs, truths, labels) in comparisons.items():
            numbers = pixels.compared(outputs, truths)
            if self.classifier and labels is not None:
                numbers |= self.recognised(outputs, labels)
            table |= {f"{metric}{name and ', '}{name}": number for metric, number in numbers.items()}
        return table

    def recognised(self, images, labels):
        """Return how often the classifier gives images their class; of characters, digits among digits, too."""
        logits = self.classifier.logits(fitted(images, self.classifier.shape))
        numbers = {"class accuracy-LeNet": float((logits.argmax(axis=1) == labels).mean())}
        digits = labels < 10
        if self.classifier.data == "characters" and digits.any():  # O and 0, l and 1 are nearly the same
            right = logits[digits, :10].argmax(axis=1) == labels[digits]
            numbers["class accuracy-LeNet of digits"] = float(right.mean())
        return numbers


# ---- sequences -------------------------------------------------------------------------------------------


class SequenceEvaluation:
    """What a model of sequences measures of its samples, beside its floor and simple baselines."""

    def __init__(self, model, n):
        if n < FEWEST:
            raise UserError(f"evaluate would measure {n} samples: {FEWEST} is the least (--n).")
        with states.generators_kept(model):
            self.others = model.baselines(n)
        self.n, self.facts, self.columns = n, {}, ("samples", *self.others)

    def table(self, model):
        """Return {measure: (value of the samples, of the floor, of each baseline)}; None where it is not known."""
        values = self.follow(model)
        return {name: (value, *(of.get(name) for of in self.others.values())) for name, value in values.items()}

    def follow(self, model):
        """Return {measure: number} of the samples that a model draws now."""
        with states.generators_kept(model):  # looking at a model must not change what it does next
            return model.measured(self.n)

    def floor(self):
        """Return {measure: number} of held-out data in the place of samples; none where nobody knows."""
        return self.others.get("floor", {})


# ---- helpers ---------------------------------------------------------------------------------------------


def load(model, settings):
    """Return the training data of a model, without labels."""
    arrays = model.load_data(settings)
    return arrays[0] if isinstance(arrays, tuple) else arrays


def fitted(images, shape):
    """Return images of the shape that a classifier takes: colours made grey, and another size resized."""
    H, _, C = shape
    if images.shape[-1] != C:
        images = np.rint(images.mean(axis=-1, keepdims=True)).astype(np.uint8)
    return images if images.shape[1] == H else data.images.resize(images, H)


def text(table, columns=Evaluation.columns):
    """Return an `Evaluation.table` as lines for people."""
    widths = [max(10, len(column) + 2) for column in columns]
    lines = [f"{'':34}" + "".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True))]
    for name, values in table.items():
        cells = ("-" if value is None else f"{value:.4g}" for value in values)
        lines.append(f"{name:34}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))
    return "\n".join(lines)


def write(table, facts, out, columns=Evaluation.columns):
    """Write an `Evaluation.table`, and facts about it, as JSON; what is not finite becomes null."""
    finite = lambda number: number if number is not None and math.isfinite(number) else None
    names = ("value", *columns[1:])
    metrics = {name: dict(zip(names, map(finite, values), strict=True)) for name, values in table.items()}
    write_json(out, facts | {"metrics": metrics})
