"""A classifier of images, with whose features metrics look at samples (docs/metrics.md).

    minimise  -E log softmax(logits(x))[label]

LeNet-5's two convolutions and two dense layers (LeCun et al. 1998, "Gradient-Based Learning Applied
to Document Recognition"), with ReLU; Adam with half a cosine of learning rates; training images are
shifted by up to 2 pixels. At the end the weights go to runs/classifiers/DATA.npz, with their hash;
`evaluate` of the other examples reads them.

    python examples/uses/classifier.py             # glyphs
    python examples/uses/classifier.py --data mnist
    python examples/uses/classifier.py --data characters    # glyphs of 62 characters, or faces
    python examples/uses/classifier.py --data outlines      # digits, as examples/translation has them
"""

import functools
from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, plots, training, xp
from scratchgan.data import domains, glyphs
from scratchgan.metrics import classifier
from scratchgan.optim import Adam, cosine
from scratchgan.support.errors import UserError
from scratchgan.training import option

# 62 characters in 20 faces: what is asked of each picture
GLYPHS = {"characters": "class", "faces": "font"}


@dataclass
class Settings(training.Settings):
    """Some 16 rounds through 15,604 images of MNIST, or 4 through all 60,000."""

    steps: int = option(4000, "training steps", minimum=1)
    lr: float = option(1e-3, "learning rate of the first step", minimum=1e-12)
    data: str = option("glyphs", "data set", choices=(*data.NAMES, *GLYPHS, "outlines"))
    shift: int = option(2, "pixels by which an image is moved at most", minimum=0)


class LeNet(training.Model):
    """Two convolutions, 128 features, 10 classes or as many as the glyphs have."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        classes = {"characters": len(glyphs.CHARACTERS), "faces": len(glyphs.FACES)}
        self.net = classifier.lenet(shape, classes.get(settings.data, 10), rng=rng)
        schedule = cosine(settings.lr, settings.steps)
        self.optimizer = Adam(self.net.params(), schedule, betas=(0.9, 0.999))

    @staticmethod
    def load_data(settings):
        train = images(settings.data, settings.data_dir, settings.seed, "train")
        return train.images, train.labels

    def step(self, batches):
        real, labels = batches.next()
        moved = shifted(real, self.settings.shift, self.rng)
        x = xp.to_device(data.to_signed(moved))  # (N, H, W, C)
        logits, tape = self.net.forward(x)
        loss, d_logits = losses.softmax_cross_entropy(logits, xp.to_device(labels))
        self.net.accumulate(tape, d_logits)  # into the classifier
        self.optimizer.step()
        return {"cross-entropy": loss}

    def trained(self):
        """Return the network as a Classifier."""
        return classifier.Classifier(self.net, self.settings.data, self.shape)

    def test(self):
        """Return the test images."""
        return images(self.settings.data, self.settings.data_dir, self.settings.seed, "test")

    def latent(self, n, rng):
        return np.zeros((n, 1), np.float32)  # a classifier draws no samples

    def generate(self, z):
        hardest = "`sample` draws the test images that it finds hardest"
        raise UserError(f"A classifier draws no samples: {hardest}.")

    def picture(self, z):
        """Draw the test images whose label it finds least probable, the worst first."""
        test = self.test()
        logits = self.trained().logits(test.images)
        probable = logits[np.arange(len(logits)), test.labels] - np.logaddexp.reduce(logits, axis=1)
        return plots.grid(test.images[np.argsort(probable)[: len(z)]])

    def report(self):
        test = self.test()
        return {"test accuracy": self.trained().accuracy(test.images, test.labels)}

    def finish(self):
        trained = self.trained()
        trained.accuracy_on_test = self.report()["test accuracy"]
        right = f"{100 * trained.accuracy_on_test:.2f} % of the test images are right"
        print(f"{trained.name}: {right}; {keep(trained)}")


def keep(trained):
    """Write a Classifier unless a better one is there, with which others measured; say which.

    A file that cannot be used makes room, under another name: minutes of training are not to be lost.
    """
    path = classifier.default_path(trained.data)
    if path.exists():
        try:
            old = classifier.load(trained.data).accuracy_on_test
        except UserError:
            aside = path.replace(path.with_name(f"{path.name}.unusable"))
            return f"wrote {classifier.save(trained)}; what was there, and is of no use, is {aside}"
        if old > trained.accuracy_on_test:
            return f"{path} stays, with {100 * old:.2f} % (remove it, and --resume, to replace it)"
    return f"wrote {classifier.save(trained)}"


@functools.cache
def images(name, data_dir, seed, split):
    """Load the images of a split, once."""
    if name in GLYPHS:
        n, own = (30_000, seed) if split == "train" else (5000, [seed, 1])
        drawn = glyphs.load(n, characters=glyphs.CHARACTERS, seed=own)
        return drawn._replace(labels=drawn.factors[GLYPHS[name]])
    if name == "outlines":
        n, own = (10_000, seed) if split == "train" else (2000, [seed, 1])
        return domains.drawn_twice(n, seed=own)[1]
    return data.load_images(name, data_dir=data_dir or None, seed=seed, split=split)


def shifted(images, most, rng):
    """Move each image by up to `most` pixels in each direction; the border goes on as it is."""
    N, H, W_, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    # (N, 2 most + 1, 2 most + 1, C, H, W_)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W_), axis=(1, 2))
    down, right = rng.integers(0, 2 * most + 1, (2, N))
    return np.moveaxis(windows[np.arange(N), down, right], 1, -1)  # (N, H, W, C)


if __name__ == "__main__":
    training.main(LeNet, Settings)
