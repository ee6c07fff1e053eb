"""A small convolutional classifier, trained by this library: the features and labels that metrics on images look at.

A metric that uses it is called by its name, such as FID-LeNet: its numbers cannot be compared with those of another
network's features, and least of all with "FID", whose Inception network was trained on photographs.
"""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np

from scratchgan import data, xp
from scratchgan.layers import Conv2d, Dense, Flatten, MaxPool, ReLU, Sequential
from scratchgan.support import npz
from scratchgan.support.errors import UserError
from scratchgan.support.files import parse_json, replacing

FEATURES = 128
BATCH = 250  # images that go through the network at once


def lenet(shape, classes, *, rng):
    """Return Sequential(body, head): images (N, H, W, C) to features (N, 128), to logits (N, classes).

    Two convolutions of 5 x 5, each followed by max pooling, and two dense layers, as in LeNet-5, with ReLU for its
    tanh (LeCun et al. 1998, section II.B). Sides H and W must be multiples of 4.
    """
    H, W_, C = shape
    body = Sequential(
        Conv2d(C, 16, 5, padding=2, rng=rng), ReLU(), MaxPool(2),
        Conv2d(16, 32, 5, padding=2, rng=rng), ReLU(), MaxPool(2),
        Flatten(), Dense(H // 4 * (W_ // 4) * 32, FEATURES, rng=rng), ReLU(),
    )  # fmt: skip
    return Sequential(body, Dense(FEATURES, classes, rng=rng))


class Classifier:
    """A trained network on images of one data set: uint8 (n, H, W, C), on the host, as many as there are.

    name: such as "LeNet-mnist"; hash: the SHA-256 of its weights, by which two results can be told to be comparable;
    shape: (H, W, C) of an image; accuracy_on_test: as it was after training.
    Every method raises ValueError for images of another dtype or shape.
    """

    def __init__(self, net, data, shape, accuracy_on_test=float("nan")):
        self.net, self.data, self.shape = net, data, tuple(shape)
        self.name = f"LeNet-{data}"
        self.accuracy_on_test = float(accuracy_on_test)
        self.hash = hash_of(net.state())
        self.body, self.head = net.layers

    def features(self, images):
        """Return the activations of the last layer but one, after its ReLU: float32 (n, 128), on the host."""
        return self.run(self.body, images)

    def logits(self, images):
        """Return the logits of the classes: float32 (n, classes), on the host."""
        return self.run(self.net, images)

    def predict(self, images):
        """Return the most probable class of each image: int64 (n,)."""
        return self.logits(images).argmax(axis=1)

    def accuracy(self, images, labels):
        """Return the share of images whose most probable class is their label."""
        return float((self.predict(images) == np.asarray(labels)).mean())

    def run(self, network, images):
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] != self.shape or len(images) == 0:
            wanted = ", ".join(map(str, self.shape))
            raise ValueError(f"{self.name}: images are {images.dtype} {images.shape}, wanted uint8 (n, {wanted})")
        parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return np.concatenate([xp.to_host(network(xp.to_device(data.to_signed(part)))) for part in parts])


# ---- files -----------------------------------------------------------------------------------------------


def default_path(name):
    """Return where the weights for a data set are kept."""
    return Path("runs", "classifiers", f"{name}.npz")


def save(classifier, path=None):
    """Write the weights with their hash, by default to runs/classifiers/DATA.npz; return the path."""
    path = Path(os.path.expanduser(path or default_path(classifier.data)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot make the folder {path.parent}: {error.strerror}.") from None
    accuracy = None if math.isnan(classifier.accuracy_on_test) else classifier.accuracy_on_test  # JSON knows no NaN
    facts = {"data": classifier.data, "shape": classifier.shape, "hash": classifier.hash, "accuracy_on_test": accuracy}
    with replacing(path) as file:
        np.savez(file, **classifier.net.state(), facts=np.array(json.dumps(facts)))
    return path


def load(name, path=None):
    """Return the Classifier of a data set, such as "mnist", from runs/classifiers/DATA.npz or another file.

    A folder of pictures has no classifier of its own: `path` names one whose features shall look at them.
    Raises UserError where the file is missing (it says which command makes it), is damaged, belongs to another data
    set, or holds weights of another hash than it says.
    """
    folder = name not in data.NAMES and os.path.isdir(os.path.expanduser(name))
    if folder and not path:
        other = "`evaluate --classifier FILE` takes that of another data set, such as runs/classifiers/mnist.npz"
        raise UserError(f"There is no classifier for the folder {name}: {other}.")
    path = Path(os.path.expanduser(path or default_path(name)))
    command = f"`python examples/uses/classifier.py --data {'mnist' if folder else name}` trains it and writes it"
    if not path.exists():
        raise UserError(f"There is no classifier {path}: {command} (a few minutes).")
    try:
        classifier, expected = unpack(npz.read(path))
    except UserError:  # it is no file, or may not be read
        raise
    except Exception:  # damaged bytes can raise nearly anything in zipfile, json and NumPy
        raise UserError(f"{path} is damaged or holds no classifier: {command}.") from None
    if classifier.hash != expected:
        raise UserError(f"{path} holds weights of hash {classifier.hash[:12]}, not {expected[:12]}: {command}.")
    if classifier.data != name and not folder:
        raise UserError(f"{path} was trained on {classifier.data}, not on {name}: {command}.")
    return classifier


def unpack(state):
    """Return (Classifier, hash) of the arrays in a file; raise any exception where they are none.

    The shapes of the weights are compared with what the facts say before a network of that size is made.
    """
    facts = parse_json(str(state.pop("facts")))
    name, (H, W_, C), expected, accuracy = (facts[key] for key in ("data", "shape", "hash", "accuracy_on_test"))
    classes = len(state["1.b"])
    flat = H // 4 * (W_ // 4) * 32
    fits = state["0.0.W"].shape == (5, 5, C, 16) and state["0.7.W"].shape == (flat, FEATURES)
    fits = fits and state["1.W"].shape == (FEATURES, classes) and min(H, W_, C, classes) > 0 and H % 4 == W_ % 4 == 0
    if not fits or {array.dtype for array in state.values()} != {np.dtype(np.float32)}:
        raise ValueError("weights that are not those of its facts")
    if not isinstance(name, str) or not isinstance(expected, str):
        raise TypeError("names that are no text")
    net = lenet((H, W_, C), classes, rng=np.random.default_rng(0))
    net.load_state(state)
    return Classifier(net, name, (H, W_, C), math.nan if accuracy is None else accuracy), expected


def hash_of(state):
    """Return the SHA-256 of a network's arrays, with their names and shapes, as text."""
    digest = hashlib.sha256()
    for name, array in sorted(state.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
