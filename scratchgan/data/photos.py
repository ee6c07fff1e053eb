"""Photographs that scikit-image brings along, where it is installed: patches of some to train on, others whole.

All may be used by everybody: astronaut (NASA) and rocket (SpaceX) are in the public domain, the others are CC0, as the
package says of each. It is found without being imported, which would need packages that nothing else here needs.
"""

import importlib.util
from pathlib import Path

import numpy as np

from scratchgan.data.checks import check_channels, check_room, check_split, check_whole
from scratchgan.data.images import check_usable, flatten
from scratchgan.support.errors import DataError
from scratchgan.support.pictures import open_picture

TRAIN = ("astronaut.png", "brick.png", "coffee.png", "grass.png", "gravel.png", "rocket.jpg")
TEST = ("camera.png", "chelsea.png")  # no training sees them
GREEN = 1  # the channel in which vessels and lesions of a retina stand out most, and which microaneurysms.png is of
RADIUS = 0.48  # of a fundus, in sides of its picture: around its disc it is black


def folder():
    """Return where scikit-image keeps its pictures; raise DataError where it is not installed."""
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        install = "`pip install --no-deps scikit-image` (14 MB) brings them, and needs nothing else"
        raise DataError(f"The photographs are those of scikit-image, which is not installed: {install}.")
    return Path(list(found.submodule_search_locations)[0], "data")


def read(name, *, channels=1):
    """Return a whole picture of scikit-image by its file's name, such as "chelsea.png": uint8 (H, W_, channels).

    Raises DataError where scikit-image is not installed, or has no such picture.
    """
    check_channels(channels)
    path = folder() / name
    with open_picture(path, error=DataError) as picture:
        check_usable(path, picture)
        pixels = np.asarray(flatten(picture, channels))
    return pixels.reshape(*pixels.shape[:2], channels)


def load(n=10_000, *, size=32, channels=1, seed=0, split="train"):
    """Cut n patches out of photographs, each photograph in turn: uint8 (n, size, size, channels).

    Places follow from the seed, and of two patches one is mirrored, left to right. split: train, patches of the six
    photographs of TRAIN; test, of the two of TEST. Raises DataError as `read` does, for no such split, and where a
    patch would be larger than a photograph.
    """
    check_split(split)
    names = TRAIN if split == "train" else TEST
    return patches([read(name, channels=channels) for name in names], n, size, np.random.default_rng(seed))


def retina(n=10_000, *, size=32, seed=0, split="train"):
    """Cut n patches out of a healthy fundus, its green channel at half its size: uint8 (n, size, size, 1).

    All of a patch lies inside the disc. split: train, the upper three quarters; test, the lower quarter. Raises
    DataError as `load` does.
    """
    check_split(split)
    green = read("retina.jpg", channels=3)[:, :, GREEN : GREEN + 1]  # (1411, 1411, 1)
    H, W_ = green.shape[0] // 2, green.shape[1] // 2
    halved = green[: 2 * H, : 2 * W_].reshape(H, 2, W_, 2, 1).mean(axis=(1, 3))
    halved = np.rint(halved).astype(np.uint8)
    rows, columns = np.mgrid[:H, :W_]
    disc = np.hypot(rows - (H - 1) / 2, columns - (W_ - 1) / 2) < RADIUS * min(H, W_)
    part = slice(0, 3 * H // 4) if split == "train" else slice(3 * H // 4, H)
    return patches([halved[part]], n, size, np.random.default_rng(seed), within=disc[part])


def microaneurysms():
    """Return a detail of a diabetic's fundus, with real lesions, its green channel: uint8 (102, 102, 1).

    It is of another camera than `retina` is, and larger in scale: a picture to look at, not a test set.
    """
    return read("microaneurysms.png")


def patches(pictures, n, size, rng, within=None):
    """Cut n patches out of pictures in turn; within: bool (H, W_), where all of a patch must lie."""
    check_whole("number of patches", n)
    check_whole("size of a patch", size)
    channels = pictures[0].shape[-1]
    check_room(n, size, channels)
    largest = min(min(picture.shape[:2]) for picture in pictures) // (1 if within is None else 2)
    if size > largest:
        raise DataError(f"A patch of {size} x {size} is larger than a photograph has room for: {largest} x {largest}.")
    cut = np.empty((n, size, size, channels), np.uint8)
    for i in range(n):
        picture, inside = pictures[i % len(pictures)], False
        while not inside:
            top, left = (int(rng.integers(0, side - size + 1)) for side in picture.shape[:2])
            place = slice(top, top + size), slice(left, left + size)
            inside = within is None or within[place].all()
        cut[i] = picture[place][:, ::-1] if rng.random() < 0.5 else picture[place]
    return cut
