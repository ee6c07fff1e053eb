"""Pictures of two kinds, A and B, of which nobody knows which b belongs to which a."""

import numpy as np

from scratchgan.data import glyphs, images, mnist, pairs
from scratchgan.data.checks import check_channels, check_split, check_whole
from scratchgan.data.pairs import Pairs, load_unpaired

LINE = 1.2  # pixels of an outline, in a picture of 28 x 28


def load(name, *, split="train", size=28, channels=1, seed=0, data_dir=None, hold_out=False):
    """Load `Pairs` whose inputs are pictures of A and whose truths are pictures of B, (N, size, size, channels).

    name: "glyphs": filled ones and outlines, "mnist": MNIST and glyphs, or a folder as `load_unpaired` wants it.
    What stands side by side has nothing in common, but for test pictures: a glyph stands beside its own outline, and a
    picture of MNIST beside a glyph of its class. Labels are known for these alone. The shorter of two kinds is
    repeated, as often for one picture as for another, up to once. Raises DataError as the loaders do.
    """
    check_whole("size of a picture", size)
    check_channels(channels)
    check_split(split)
    rng = np.random.default_rng([seed, 2])
    if name == "glyphs":
        A, B, labels = filled_and_outlined(split, size, seed)
    elif name == "mnist":
        A, B, labels = handwritten_and_drawn(split, size, seed, data_dir, rng)
    else:
        A, B = load_unpaired(name, split=split, size=size, channels=channels, hold_out=hold_out)
        return Pairs(*alike_long(A, B, rng))
    A, B = (np.repeat(kind, channels, axis=-1) for kind in (A, B))  # they are grey
    return Pairs(A, B, labels) if split == "test" else Pairs(*alike_long(A, B, rng))


def filled_and_outlined(split, size, seed):
    """Return glyphs, outlines and labels: of the same glyphs to test, of others to train."""
    if split == "test":
        A, B = drawn_twice(pairs.DRAWN[split], size=size, seed=[seed, 1])
    else:
        (A, _), (_, B) = (drawn_twice(pairs.DRAWN[split], size=size, seed=[seed, own]) for own in (3, 4))
    return A.images, B.images, A.labels


def drawn_twice(n, *, size=28, seed=0):
    """Draw n glyphs, filled and as outlines: two `Images` of the very same glyphs."""
    line = LINE * size / 28
    factors = glyphs.draw_factors(n, size=size, seed=seed, outline=line)
    return glyphs.redraw(factors, size=size), glyphs.redraw(factors, size=size, outline=line)


def handwritten_and_drawn(split, size, seed, data_dir, rng):
    """Return pictures of MNIST, glyphs and labels, which both share if they are to test."""
    A = mnist.load(split, data_dir=data_dir)
    B = glyphs.load(pairs.DRAWN[split], size=size, seed=seed if split == "train" else [seed, 1])
    rows = np.arange(len(A.images))
    partners = np.arange(len(B.images))
    if split == "test":
        rows = rng.permutation(len(A.images))[: pairs.DRAWN[split]]
        partners = [rng.choice(np.flatnonzero(B.labels == label)) for label in A.labels[rows]]
    A_images = A.images[rows] if size == 28 else images.resize(A.images[rows], size)
    return A_images, B.images[partners], A.labels[rows].astype(np.int64)


def alike_long(A, B, rng):
    """Return two arrays in a random order, and the shorter one repeated until both have one length."""
    n = max(len(A), len(B))
    return tuple(kind[np.resize(rng.permutation(len(kind)), n)] for kind in (A, B))
