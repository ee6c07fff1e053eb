"""Which factors of glyphs follow coarse styles and which fine ones, and how long paths are, of `stylegan2.py`'s runs.

    python docs/figures/stylegan2.py runs/stylegan2 runs/without

Reads each factor of a picture by ridge regression on features of the classifier of glyphs, fitted to 20,000 glyphs
whose factors are known; prints how much of a factor's variance it reads of others. Then it mixes pairs of samples of
each run, A's first k styles and B's others, and prints for each k and factor how far the mixed sample has gone from
B's factor to A's: the slope of (mixed - B) on (A - B); of classes, the share that are A's, where A and B differ. And it
prints the mean squared length of paths in z and in w, both as `metrics.path_length` measures it, what paths in w would
have at least, were they straight and even among features, and what the penalty sees: mean and spread of |J^T y|.
"""

import argparse
import math
import sys

import numpy as np

from scratchgan import training, xp
from scratchgan.data import glyphs
from scratchgan.examples.styles import stylegan2
from scratchgan.metrics import classifier
from scratchgan.metrics.path import path_length
from scratchgan.support.errors import UserError

FACTORS = ("angle", "shear", "scale", "shift_x", "shift_y", "weight")
N = 10_000


class Reader:
    """What the classifier's features tell of factors: a ridge regression each, on features and their squares."""

    def __init__(self, net):
        self.net = net
        known, others = (glyphs.load(n, seed=seed) for n, seed in ((2 * N, 100), (N, 101)))
        truth, x = self.table(known), self.inputs(known.images)
        self.mean = truth.mean(0)
        self.W = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ (truth - self.mean))
        left = ((self.read(others.images) - self.table(others)) ** 2).mean(0)
        self.explained = 1 - left / self.table(others).var(0)

    def table(self, images):
        return np.stack([images.factors[name] for name in FACTORS], axis=1)

    def inputs(self, images):
        features = self.net.features(images).astype(np.float64)
        return np.concatenate([features, features**2, np.ones((len(images), 1))], axis=1)

    def read(self, images):
        return self.inputs(images) @ self.W + self.mean


def followed(model, reader, rng):
    """Return for k = 1, 2, ... how far the factors, and the class, of mixed samples follow the one with k styles."""
    a, b = (model.styles_of(xp.to_device(model.latent(N // 4, rng))) for _ in range(2))
    (of_a, class_a), (of_b, class_b) = (look(model, reader, styles) for styles in (a, b))
    found = []
    for k in range(1, model.styles):
        first = xp.arange(model.styles)[:, None] < k
        mixed, classes = look(model, reader, xp.where(first, a, b))
        slope = ((mixed - of_b) * (of_a - of_b)).sum(0) / ((of_a - of_b) ** 2).sum(0)
        apart = class_a != class_b
        found.append([*slope, (classes == class_a)[apart].mean(), (classes == class_b)[apart].mean()])
    return np.array(found)


def look(model, reader, styles):
    pictures = model.pictures(styles)
    return reader.read(pictures), reader.net.predict(pictures)


def lengths(model, net):
    """Return path length-LeNet on great circles in z, on straight lines in w, and the least that the latter can be.

    The least is E |phi(b) - phi(a)|^2 of the ends a and b: no path from phi(a) to phi(b) has a smaller mean square.
    """
    in_z = lambda z: net.body(model.generate(z))
    rng = np.random.default_rng(0)
    ends = [model.f_average.net(xp.to_device(model.latent(2000, rng))) for _ in range(2)]
    t = xp.to_device(rng.uniform(0, 1 - 1e-4, (2000, 1)), "float32")
    total, least = 0.0, 0.0
    for i in range(0, 2000, 250):
        a, b, when = ends[0][i : i + 250], ends[1][i : i + 250], t[i : i + 250]
        points = [net.body(model.drawn(repeated(a + (b - a) * s, model.styles))) for s in (when, when + 1e-4)]
        total += float((((points[1] - points[0]) / 1e-4) ** 2).sum())
        reached = [net.body(model.drawn(repeated(w, model.styles))) for w in (a, b)]
        least += float(((reached[1] - reached[0]) ** 2).sum())
    return path_length(in_z, model.latent, rng=np.random.default_rng(0)), total / 2000, least / 2000


def slopes(model):
    """Return mean and standard deviation of |J^T y|, which the penalty wants to be the same everywhere."""
    rng, found = np.random.default_rng(0), []
    for _ in range(20):
        styles = repeated(model.f_average.net(xp.to_device(model.latent(100, rng))), model.styles)
        picture, tape = model.g_average.net.forward(styles)
        y = xp.to_device(rng.standard_normal(picture.shape) / math.prod(picture.shape[1:-1]) ** 0.5, "float32")
        g, _ = model.g_average.net.pull(tape, y)
        found.append((g**2).sum(2).mean(1) ** 0.5)
    found = np.concatenate([xp.to_host(part) for part in found])
    return found.mean(), found.std()


def repeated(w, styles):
    return xp.repeat(w[:, None], styles, axis=1)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", help="run directories, of glyphs")
    options = parser.parse_args(argv)
    try:
        reader = Reader(classifier.load("glyphs"))
        print("factor:", *FACTORS, "class: A's, B's")
        print("variance that is read:", *reader.explained.round(2))
        for run in options.runs:
            model = training.load_model(stylegan2.StyleGAN2, stylegan2.Settings, run)
            print(run, "path length in z {:.4g}, in w {:.4g}, at least {:.4g}".format(*lengths(model, reader.net)))
            print("|J^T y|: {:.4g} +- {:.2g}".format(*slopes(model)))
            for k, row in enumerate(followed(model, reader, np.random.default_rng(0)), start=1):
                print(f"A's first {k} of {model.styles} styles:", *row.round(2))
    except UserError as error:
        sys.exit(f"stylegan2.py: error: {error}")


if __name__ == "__main__":
    main()
