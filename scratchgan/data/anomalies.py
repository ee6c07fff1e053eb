"""What anomaly detection learns from and is measured on: pictures that are as usual, and others beside them."""

import functools
from typing import NamedTuple

import numpy as np

from scratchgan.data import load_images, phantom, photos
from scratchgan.data.checks import check_split
from scratchgan.support.errors import DataError

LEARNED = 6000  # healthy heads, or patches of a retina, to learn from
TESTED = 1000  # healthy ones to be measured on, and as many with a lesion


class Anomalies(NamedTuple):
    """Pictures, which of them are anomalies, and in which pixels these lie, where that is known."""

    images: np.ndarray  # (N, H, W_, C), uint8
    anomalous: np.ndarray  # (N,), bool
    masks: np.ndarray | None = None  # (N, H, W_), bool

    def some(self, n):
        """Return n of the pictures, evenly from all of them; all for 0, or where there are fewer."""
        if not 0 < n < len(self.images):
            return self
        rows = np.linspace(0, len(self.images) - 1, n).astype(int)
        return Anomalies(*(None if part is None else part[rows] for part in self))


@functools.lru_cache(maxsize=4)
def load(name, split="train", normal=0, seed=0, data_dir=None):
    """Load pictures that are as usual, all of split `train`, or of split `test` these and anomalies.

    name `phantom` or `retina`: healthy heads, or patches of a healthy fundus, and in the test others with a lesion and
    its mask; any set of `data.load_images` that has classes: those of the class `normal`, and in the test the whole of
    it, all other classes being anomalies.
    Raises DataError for other splits and for a class that is not there, and as the loaders do.
    """
    check_split(split)
    if name in MEDICAL:
        return MEDICAL[name](split, seed)
    loaded = load_images(name, data_dir=data_dir, seed=seed, split=split)
    if loaded.labels is None or not (loaded.labels == normal).any():
        raise DataError(f"{name} has no class {normal} that could be the normal one.")
    if split == "train":
        images = loaded.images[loaded.labels == normal]
        return Anomalies(images, np.zeros(len(images), bool))
    return Anomalies(loaded.images, loaded.labels != normal)


def asked_for(settings, split):
    """Load what the settings of an example ask for: `data`, `normal`, `seed` and `data_dir`."""
    return load(settings.data, split, settings.normal, settings.seed, settings.data_dir or None)


def heads(split, seed):
    """Return heads: healthy ones, and in the test as many with lesions; no head is there twice."""
    if split == "train":
        return Anomalies(phantom.load(LEARNED, seed=seed).images, np.zeros(LEARNED, bool))
    healthy, ill = phantom.load(TESTED, seed=[seed, 1]), phantom.load(TESTED, seed=[seed, 2], lesions=True)
    return tested(healthy.images, ill.images, phantom.masks(ill.factors))


def retina(split, seed):
    """Return patches of a healthy fundus: of its upper part, or of its lower part, half of them with a lesion."""
    if split == "train":
        return Anomalies(photos.retina(LEARNED, seed=seed), np.zeros(LEARNED, bool))
    patches = photos.retina(2 * TESTED, seed=seed, split="test")
    return tested(patches[:TESTED], *phantom.painted(patches[TESTED:], seed=[seed, 2]))


def tested(healthy, ill, masks):
    """Return healthy pictures, and after them those with a lesion."""
    anomalous = np.repeat([False, True], [len(healthy), len(ill)])
    return Anomalies(np.concatenate([healthy, ill]), anomalous, np.concatenate([np.zeros_like(masks), masks]))


MEDICAL = {"phantom": heads, "retina": retina}
