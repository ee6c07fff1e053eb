"""4,096 cells with exact probabilities: one small problem, on which models of every kind can be compared.

The density is a ring of 8 Gaussians (radius 2, std 0.2), and the square [-3, 3]^2 around it has 64 x 64 cells. A model
that says how probable each cell is is told how far it is from the truth, exactly: `metrics.cells.compare`. A cell is

    a number     64 row + column, from 0 to 4,095; rows count upwards, columns to the right
    two words    (column, row), each one of 64
    twelve bits  of the column and of the row by turns, from the coarsest to the finest: which half of the square,
                 left or right, which half of that, below or above, and so on
"""

import functools
import math

import numpy as np

from scratchgan.data import mixtures
from scratchgan.support.errors import DataError

SIDE, HALF = 64, 3.0  # cells along an axis, and half of the square's side
DIGITS = 6  # bits of a word: 2^6 = SIDE
BITS, CELLS = 2 * DIGITS, SIDE * SIDE
TRAINING = 20_000  # points that the models see


def density():
    """Return the ring of Gaussians, a `mixtures.Mixture`."""
    return mixtures.ring(std=0.2)


@functools.cache
def probabilities():
    """Return p: how probable each cell is, given that a point lies in the square: float64 (CELLS,), of sum 1."""
    ring, edges = density(), np.linspace(-HALF, HALF, SIDE + 1)
    of_columns, of_rows = (between(edges, centers, ring.std) for centers in ring.centers.T)  # (K, SIDE) each
    p = (of_rows.T @ of_columns).ravel()  # the integral over a rectangle is a product
    p /= p.sum()
    p.flags.writeable = False
    return p


def between(edges, centers, std):
    """Return how probable N(center, std^2) lies between each two neighbouring edges: (K, edges - 1).

    Phi(b) - Phi(a) = (erfc(-b / sqrt 2) - erfc(-a / sqrt 2)) / 2, taken in the tail that is the smaller one: in the
    other, numbers near 1 would cancel, and a cell far away would have no probability at all.
    """
    t = (edges - centers[:, None]) / std  # (K, edges)
    above, below = tail(t), tail(-t)
    right = t[:, :-1] + t[:, 1:] > 0  # of the centre
    return np.where(right, above[:, :-1] - above[:, 1:], below[:, 1:] - below[:, :-1])


def tail(t):
    """Return P(e > t) of a standard normal e, element by element."""
    return np.vectorize(lambda one: math.erfc(one / math.sqrt(2)) / 2)(t)


def points(n, rng):
    """Draw n points of the density in the square: float32 (n, 2)."""
    ring = density()
    x = ring.sample(n, rng)
    while (outside := (np.abs(x) >= HALF).any(axis=1)).any():
        x[outside] = ring.sample(outside.sum(), rng)
    return x


def load(seed):
    """Return the training points of a seed: float32 (TRAINING, 2)."""
    return points(TRAINING, np.random.default_rng(seed))


def numbers(points):
    """Return the cell of each point (n, 2): integers (n,). One outside of the square is in the nearest at its edge.

    Raises DataError for points that are not finite.
    """
    if not np.isfinite(points).all():
        raise DataError("A point that is not finite is in no cell: lower the step or the learning rate.")
    places = np.floor((points + HALF) * (SIDE / (2 * HALF)))
    return from_words(np.clip(places, 0, SIDE - 1).astype(int))


def words(cells):
    """Return (column, row) of cells (n,): integers (n, 2)."""
    return np.stack([cells % SIDE, cells // SIDE], axis=-1)


def from_words(words):
    """Return the cells of words (n, 2)."""
    return SIDE * words[:, 1] + words[:, 0]


def bits(cells):
    """Return the twelve bits of cells (n,): uint8 (n, BITS)."""
    finer = np.arange(DIGITS)[::-1, None]
    return (words(cells)[:, None] >> finer & 1).reshape(-1, BITS).astype(np.uint8)


def from_bits(bits):
    """Return the cells of bits (n, BITS)."""
    finer = np.arange(DIGITS)[::-1, None]
    return from_words((bits.reshape(-1, DIGITS, 2).astype(int) << finer).sum(axis=1))
