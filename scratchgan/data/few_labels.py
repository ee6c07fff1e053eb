"""Labels of a few samples of each class, drawn at random: the others are hidden."""

import numpy as np

from scratchgan.support.errors import DataError


def hide_labels(labels, each, rng):
    """Return the labels of `each` pictures of every class, drawn at random, and -1 else."""
    told = np.full_like(labels, -1)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if (n := len(rows)) < each:
            raise DataError(f"--labels {each} is more than the {n} pictures of class {label}.")
        told[rng.permutation(rows)[:each]] = label
    return told
