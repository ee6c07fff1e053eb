"""Checks of arguments that several data sets share."""

import itertools
import math
import numbers

import numpy as np

from scratchgan.support.costs import afford
from scratchgan.support.errors import DataError


def check_whole(what, value, least=1):
    """Raise DataError unless `value` is a whole number, `least` or more."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise DataError(f"The {what} must be a whole number, {least} or more; it is {value}.")


def check_positive(what, value):
    """Raise DataError unless `value` is a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise DataError(f"The {what} must be a positive number; it is {value}.")


def check_channels(channels):
    """Raise DataError unless `channels` is 1 (grey) or 3 (RGB)."""
    if channels not in (1, 3):
        raise DataError(f"Pictures have 1 channel (grey) or 3 (RGB), not {channels}.")


def check_split(split):
    """Raise DataError unless `split` is train or test."""
    if split not in ("train", "test"):
        raise DataError(f"There is no split {split!r}; choose train or test.")


def check_room(n, size, channels):
    """Raise DataError unless there is memory for n pictures of this size."""
    what = f"{n:,} pictures of {size} x {size}"
    afford(int(n) * int(size) ** 2 * channels, what, "choose smaller pictures, or fewer", DataError)


def check_labels(labels, classes):
    """Raise DataError unless labels are whole numbers from 0 to classes - 1, (N,), and no class is missing."""
    if labels is None:
        raise DataError("These pictures have no labels; put those of each class into a sub-folder of its own.")
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        got = f"{labels.dtype} of shape {labels.shape}"
        raise DataError(f"Labels are whole numbers that count the classes from 0, (N,); these are {got}.")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"The labels reach from {labels.min()} to {labels.max()}; for {classes} classes they must be "
            f"0 to {classes - 1}. Is --classes {labels.max() + 1} meant?"
        )
    seen = np.unique(labels).tolist()  # sorted
    if len(seen) < classes:
        known = set(seen)
        missing = list(itertools.islice((label for label in range(classes) if label not in known), 10))
        which = ", ".join(map(str, missing)) + (", ..." if classes - len(seen) > 10 else "")
        which = f"Class {which} has" if classes - len(seen) == 1 else f"Classes {which} have"
        fits = seen and seen == list(range(len(seen)))  # the classes there are count from 0 without a gap
        advice = f"is --classes {len(seen)} meant?" if fits else "number the classes from 0, without a gap."
        raise DataError(f"{which} no sample: {classes} classes count from 0 to {classes - 1}; {advice}")
