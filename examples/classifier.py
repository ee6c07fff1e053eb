"""A classifier of images: its features and labels are what the metrics of generated images look at (docs/metrics.md).

    minimise  -E log softmax(logits(x))[label]

LeNet-5's two convolutions and two dense layers (LeCun et al. 1998, "Gradient-Based Learning Applied to Document
Recognition"), with ReLU; Adam with half a cosine of learning rates; training images are shifted by up to 2 pixels.
At the end the weights go to runs/classifiers/DATA.npz, with their hash; `evaluate` of the other examples reads them.

    python examples/classifier.py                  # glyphs
    python examples/classifier.py --data mnist
"""

import functools
from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, plots, training, xp
from scratchgan.errors import UserError
from scratchgan.metrics import classifier
from scratchgan.optim import Adam, cosine
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """Some 15 rounds through 15,600 images."""

    steps: int = option(4000, "training steps", minimum=1)
    lr: float = option(1e-3, "learning rate of the first step", minimum=1e-12)
    data: str = option("glyphs", "data set", choices=("glyphs", "mnist", "fashion_mnist", "kmnist"))
    shift: int = option(2, "pixels by which a training image is moved at most, in each direction", minimum=0)


class LeNet(training.Model):
    """Two convolutions, 128 features, 10 classes."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.net = classifier.lenet(shape, 10, rng=rng)
        self.optimizer = Adam(self.net.params(), cosine(settings.lr, settings.steps), betas=(0.9, 0.999))

    @staticmethod
    def load_data(settings):
        found = images(settings.data, settings.data_dir, settings.seed, "train")
        return found.images, found.labels

    def step(self, batches):
        real, labels = batches.next()
        x = xp.to_device(data.to_signed(shifted(real, self.settings.shift, self.rng)))  # (N, H, W, C)
        logits, tape = self.net.forward(x)
        loss, d_logits = losses.softmax_cross_entropy(logits, xp.to_device(labels))
        self.net.backward(tape, d_logits)
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
        raise UserError("A classifier draws no samples: `sample` draws the test images that it finds hardest.")

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
        found = self.trained()
        found.accuracy_on_test = self.report()["test accuracy"]
        print(f"{found.name}: {100 * found.accuracy_on_test:.2f} % of the test images are right; {self.keep(found)}")

    def keep(self, found):
        """Write what was found, unless a better one is there, with which others have measured; say which."""
        path = classifier.default_path(found.data)
        if path.exists() and (old := classifier.load(found.data).accuracy_on_test) > found.accuracy_on_test:
            return f"{path} stays, with {100 * old:.2f} % (remove it, and --resume, to replace it)"
        return f"wrote {classifier.save(found)}"


@functools.cache
def images(name, data_dir, seed, split):
    """Load the images of a split, once."""
    return data.load_images(name, data_dir=data_dir or None, seed=seed, split=split)


def shifted(images, most, rng):
    """Move each image by up to `most` pixels in each direction; the border goes on as it is."""
    N, H, W_, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W_), axis=(1, 2))  # (N, 2 most + 1, ..., C, H, W_)
    down, right = rng.integers(0, 2 * most + 1, (2, N))
    return np.moveaxis(windows[np.arange(N), down, right], 1, -1)  # (N, H, W, C)


if __name__ == "__main__":
    training.main(LeNet, Settings)
