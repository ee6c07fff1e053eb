"""What codes of pictures are good for: whose neighbours they make, how they lie, what can be drawn from them again."""

import math

import numpy as np

from scratchgan import plots, xp
from scratchgan.metrics import neighbours
from scratchgan.metrics.points import blocks, on_device, squared_distances
from scratchgan.support.errors import UserError

COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75),
           (227, 119, 194), (90, 90, 90), (188, 189, 34), (23, 190, 207))  # fmt: skip


def rows(images):
    """Return uint8 pictures (N, H, W, C) as rows of numbers from 0 to 1: float32 (N, H W C)."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


class PCA:
    """The principal components of points: the best linear autoencoder.

        code = V^T (x - m),  x is near m + V code        m: the mean; V: (F, k), orthonormal columns

    points: (N, F), k at most F. Codes and what is decoded are float64, on the host.
    """

    def __init__(self, points, k):
        self.mean = points.mean(axis=0, dtype=np.float64)
        centred = points - self.mean
        _, V = np.linalg.eigh(centred.T @ centred)  # eigenvalues ascend
        self.V = V[:, ::-1][:, :k]

    def encode(self, points):
        """Return the codes (n, k) of points (n, F)."""
        return (points - self.mean) @ self.V

    def decode(self, codes):
        """Return the points (n, F) of codes (n, k)."""
        return self.mean + codes @ self.V.T


def nearest_accuracy(train, labels, test, test_labels):
    """Return the share of test points whose nearest training point, by Euclidean distance, is of their class.

    1-NN accuracy, as in table 1 of Donahue et al. 2017. train: (N, F), test: (n, F); labels (N,) and (n,), on the host.
    Raises ValueError for no points, other shapes, and numbers that are not finite.
    """
    test, train = on_device("nearest_accuracy", 1, test=test, train=train)
    _, index = neighbours.nearest(test, train)
    return float((np.asarray(labels)[index] == np.asarray(test_labels)).mean())


def smoothed(points, n, k):
    """Return n smoothed points: each of the first n is replaced by the mean of the k nearest to it, itself one of them.

    No model: nothing comes out but averages of data. points: (N, F), of at least k.
    """
    (x,) = on_device("smoothed", k, points=points)
    near = [xp.argpartition(squared_distances(x[:n], x, part), k - 1, axis=1)[:, :k] for part in blocks(len(x[:n]))]
    near = xp.concatenate(near)  # (n, k)
    return xp.to_host(sum(x[near[:, i]] for i in range(k)) * (1 / k))


def distance_to_normal(codes):
    """Return for each number of a code its Kolmogorov-Smirnov distance to N(0, 1): (k,), from 0 to 1.

        sup over t of |share of the codes up to t - Phi(t)|

    codes: (n, k), on the host. For n draws of N(0, 1) it is 0.87 / sqrt(n) on average: that is the floor, not 0.
    """
    n = len(codes)
    phi = 0.5 * (1 + np.vectorize(math.erf)(np.sort(codes.astype(np.float64), axis=0) / math.sqrt(2)))
    above = np.arange(1, n + 1)[:, None] / n  # the share of the codes up to each of them
    return np.maximum(above - phi, phi - above + 1 / n).max(axis=0)


def errors(train, x, y, k):
    """Return {what: number}: the mean of |x - y| for y = G(E(x)), for that of another x, and for a PCA of k numbers.

    train: (N, F), from which the PCA is; x, y: (n, F).
    """
    pca = PCA(train, k)
    others = {"G(E(x))": y, "G(E(another x))": np.roll(y, 1, axis=0), f"PCA {k}": pca.decode(pca.encode(x))}
    return {f"|x - y|, y {name}": float(np.linalg.norm(x - y, axis=1).mean()) for name, y in others.items()}


def held_out(model):
    """Return the test pictures of a model, with labels, `Images`; raise UserError where it has none."""
    test = model.held_out()
    if test is None:
        raise UserError(f"The folder {model.settings.data} has no test pictures with labels: train on a data set.")
    return test


def picture(z, test, y):
    """Return the plane of the codes z (n, 2) of test pictures; of longer codes, the pictures x, and to the right y."""
    return plane(z, test.labels) if z.shape[1] == 2 else side_by_side(test.images, y)


def side_by_side(x, y, n=50):
    """Return a picture of n pairs, x to the left and y to the right, five pairs a row: uint8 (N, H, W, C) each."""
    pairs = np.stack([x[:n], y[:n]], axis=1)
    return plots.grid(pairs.reshape(-1, *x.shape[1:]), columns=10)


def plane(codes, labels, reach=3.5, size=601):
    """Return a picture (size, size, 3) of codes (n, 2), a colour for each label; -reach to reach on both axes."""
    picture = np.full((size, size, 3), 255, np.uint8)
    at = np.rint((codes * (1, -1) / reach + 1) * (size - 1) / 2).astype(int)  # the second number grows upwards
    for (column, row), label in zip(at, labels, strict=True):
        if 0 <= row < size - 1 and 0 <= column < size - 1:
            picture[row : row + 2, column : column + 2] = COLOURS[label % len(COLOURS)]
    return picture
