"""How far q, a probability for each of 4,096 cells, is from the true ones: exactly, without a sample; and pictures."""

import numpy as np

from scratchgan import plots
from scratchgan.data import cells

MEASURES = ("KL(p, q)", "KL(q, p)", "JS", "TV")
SAMPLES = 1_000_000  # by which a model is measured that can only be drawn from
ADDED = 1e-3  # of a sample, to each cell of such a model: else KL(p, q) would be infinite for one that has none


def compare(q, p=None):
    """Return {measure: distance of q from p}, in nats where it is a KL or JS; p are the true probabilities by default.

        KL(p, q) = sum p log(p / q)        JS = KL(p, m) / 2 + KL(q, m) / 2, m = (p + q) / 2        TV = sum |p - q| / 2

    KL is infinite where a cell of the first has probability, and of the second has none. JS is at most log 2, TV 1.
    Raises ValueError unless q is float64 (4096,), not negative, and sums to 1.
    """
    p = cells.probabilities() if p is None else p
    if q.shape != p.shape or not (q >= 0).all() or abs(q.sum() - 1) > 1e-6:
        raise ValueError(f"q has shape {q.shape} and sum {q.sum():.6g}: wanted {p.shape}, none below 0, and 1")
    m = (p + q) / 2
    distances = kl(p, q), kl(q, p), kl(p, m) / 2 + kl(q, m) / 2, np.abs(p - q).sum() / 2
    return dict(zip(MEASURES, map(float, distances), strict=True))


def kl(p, q):
    """Return sum p log(p / q); a cell without p adds nothing."""
    there = p > 0
    with np.errstate(divide="ignore"):
        return (p[there] * (np.log(p[there]) - np.log(q[there]))).sum()


def counted(numbers, add=ADDED):
    """Return q of samples, the numbers of their cells: the share of each cell, after `add` more samples in each."""
    return smoothed(np.bincount(numbers, minlength=cells.CELLS) / len(numbers), len(numbers), add)


def smoothed(q, n, add=ADDED):
    """Return q as it would be of n samples and `add` more in each cell."""
    return (n * q + add) / (n + add * cells.CELLS)


def independent_bits(numbers):
    """Return q where each of the twelve bits is what it is among the samples, whatever the others are."""
    ones, every = cells.bits(numbers).mean(axis=0), cells.bits(np.arange(cells.CELLS))
    return np.where(every, ones, 1 - ones).prod(axis=1)


def baselines(seed):
    """Return {who: distances} that need no training; "floor": as many fresh points as samples of a model."""
    train = cells.numbers(cells.load(seed))
    fresh = cells.numbers(cells.points(SAMPLES, np.random.default_rng([seed, SAMPLES])))
    models = {
        "floor": counted(fresh),
        "uniform": np.full(cells.CELLS, 1 / cells.CELLS),
        "counts + 1/2": counted(train, 0.5),
        "independent bits": independent_bits(train),
    }
    return {who: compare(q) for who, q in models.items()}


def table(rows):
    """Return {who: distances} as lines for people."""
    width = max(map(len, rows)) + 2
    lines = [" " * width + "".join(f"{name:>10}" for name in MEASURES)]
    lines += [f"{who:{width}}" + "".join(f"{of[name]:10.4f}" for name in MEASURES) for who, of in rows.items()]
    return "\n".join(lines)


def picture(*panels, columns=3):
    """Draw the true p, and beside it one q after the other: uint8 (H, W_, 1); the darker, the more probable.

    The shade is that of the square root, and the largest p is black.
    """
    p = cells.probabilities()
    shown = np.stack([p, *panels]).reshape(-1, cells.SIDE, cells.SIDE, 1)[:, ::-1]  # y goes upwards
    shade = 255 - np.rint(255 * np.sqrt(np.minimum(shown / p.max(), 1))).astype(np.uint8)
    return plots.grid(shade.repeat(3, axis=1).repeat(3, axis=2), columns)
