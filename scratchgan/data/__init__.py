"""Data sets on the host: toy densities, glyphs made from fonts, MNIST and its relatives, folders."""

import difflib
import os

import numpy as np

from scratchgan.data import glyphs, images, mixtures, mnist
from scratchgan.data.batches import Batches
from scratchgan.data.checks import check_channels, check_labels
from scratchgan.data.images import Images, to_bytes, to_signed
from scratchgan.support.errors import DataError

__all__ = [
    "Batches",
    "Images",
    "check_labels",
    "glyphs",
    "images",
    "load_images",
    "mixtures",
    "mnist",
    "to_bytes",
    "to_signed",
]

NAMES = ("glyphs", "mnist", "fashion_mnist", "kmnist")  # whatever else --data names is a folder


def load_images(name, *, data_dir=None, size=28, channels=1, count=10_000, seed=0, split="train"):
    """Load the pictures that `--data NAME` of an example asks for, (N, size, size, channels).

    `name` is `glyphs`, `mnist`, `fashion_mnist`, `kmnist`, or the path of a folder of PNG or JPEG pictures.
    `data_dir` is where the MNIST sets are looked for; `count` and `seed` are the number and the seed of the
    glyphs, and the other sets are always whole. `split` is `train` or `test`: other glyphs of the same fonts, or the
    other files of MNIST; a folder has no test pictures. Raises DataError for any other name, and as the loaders do.
    """
    check_channels(channels)
    if split not in ("train", "test"):
        raise DataError(f"There is no split {split!r}; choose train or test.")
    name = os.fspath(name)
    if name == "glyphs":
        loaded = glyphs.load(count, size=size, seed=seed if split == "train" else [seed, 1])
    elif name in NAMES:
        loaded = mnist.load(split, name=name, data_dir=data_dir)
    elif os.path.isdir(name) and split == "test":
        raise DataError(f"{name} is a folder, which has no test pictures; choose {', '.join(NAMES)}.")
    elif os.path.isdir(name):
        return images.load_folder(name, size=size, channels=channels)
    else:
        raise unknown(name)
    pictures = loaded.images
    if pictures.shape[1:3] != (size, size):
        pictures = images.resize(pictures, size)
    return loaded._replace(images=np.repeat(pictures, channels, axis=-1))  # they are grey


def unknown(name):
    if os.path.exists(name):
        return DataError(f"{name} is a file; give the folder of pictures, or one of {', '.join(NAMES)}.")
    close = difflib.get_close_matches(name.lower().replace("-", "_"), NAMES, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    return DataError(
        f"There is no data set or folder {name!r}.{guess} Choose {', '.join(NAMES)}, "
        "or give the path of a folder of pictures."
    )
