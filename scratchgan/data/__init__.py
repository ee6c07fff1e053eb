"""Data sets on the host: toy densities, glyphs made from fonts, MNIST and its relatives, folders."""

import difflib
import os

import numpy as np

from scratchgan.data import folders, glyphs, images, mixtures, mnist, pairs
from scratchgan.data.batches import Batches
from scratchgan.data.checks import check_channels, check_labels, check_room, check_split, check_whole
from scratchgan.data.held_out import held_out
from scratchgan.data.images import Images, to_bytes, to_signed
from scratchgan.data.pairs import Pairs
from scratchgan.support.errors import DataError

__all__ = [
    "Batches",
    "Images",
    "Pairs",
    "check_labels",
    "glyphs",
    "images",
    "load_images",
    "mixtures",
    "mnist",
    "pairs",
    "to_bytes",
    "to_signed",
]

NAMES = ("glyphs", "mnist", "fashion_mnist", "kmnist")  # whatever else --data names is a folder


def load_images(name, *, data_dir=None, size=28, channels=1, count=10_000, seed=0, split="train", hold_out=False):
    """Load the pictures that `--data NAME` of an example asks for, (N, size, size, channels).

    `name` is `glyphs`, `mnist`, `fashion_mnist`, `kmnist`, or the path of a folder of pictures.
    `data_dir` is where the MNIST sets are looked for; `count` and `seed` are the number and the seed of the
    glyphs, and the other sets are always whole. `split` is `train` or `test`: other glyphs of the same fonts, or the
    other files of MNIST; a folder has test pictures with `hold_out`, which then are no training pictures. Raises
    DataError for any other name, and as the loaders do.
    """
    check_whole("size of a picture", size)
    check_channels(channels)
    check_split(split)
    name = os.path.expanduser(os.fsdecode(name))
    if name == "glyphs":
        loaded = glyphs.load(count, size=size, seed=seed if split == "train" else [seed, 1])
    elif name in NAMES:
        loaded = mnist.load(split, name=name, data_dir=data_dir)
    elif os.path.isdir(name):
        return load_part(name, size, channels, split, hold_out)
    else:
        raise unknown(name)
    check_room(len(loaded.images), size, channels)
    pictures = loaded.images
    if pictures.shape[1:3] != (size, size):
        pictures = images.resize(pictures, size)
    return loaded._replace(images=np.repeat(pictures, channels, axis=-1))  # they are grey


def load_part(folder, size, channels, split, hold_out):
    """Load the pictures of a folder; with `hold_out`, those of one split alone."""
    if not hold_out and split == "test":
        kept = "which has no test pictures: a run with --hold-out keeps some of them, and does not train on them"
        raise DataError(f"{folder} is a folder, {kept}.")
    loaded = images.load_folder(folder, size=size, channels=channels)
    if not hold_out:
        return loaded
    rows = held_out(folders.find(folder).files) == (split == "test")
    return loaded._replace(images=loaded.images[rows], labels=None if loaded.labels is None else loaded.labels[rows])


def unknown(name):
    if os.path.exists(name):
        return DataError(f"{name} is a file; give the folder of pictures, or one of {', '.join(NAMES)}.")
    close = difflib.get_close_matches(name.lower().replace("-", "_"), NAMES, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    return DataError(
        f"There is no data set or folder {name!r}.{guess} Choose {', '.join(NAMES)}, "
        "or give the path of a folder of pictures."
    )
