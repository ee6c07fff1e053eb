"""Do samples of a conditional GAN help a classifier that has few labels?

    minimise over C  -E log C(y | x)   over 20 real pictures a class;   then with samples G(z, y)

The GAN is told nothing more than the classifier: it trains on the same 20 pictures a class, or it
would hand on labels that the classifier is not supposed to have. It is the perceptrons of
examples/cgan.py; D sees real and generated pictures moved by up to 2 pixels: of 200 that stand
still it would know each by heart (Zhao et al. 2020: both move).

    python examples/uses/data_augmentation.py        # glyphs; or --data mnist
    python examples/uses/data_augmentation.py compare runs/data_augmentation   # both classifiers

One minute on a core for both. On MNIST the samples do harm: 86 % of the test pictures are named
rightly, 88 % without.
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.examples import cgan
from scratchgan.metrics.classifier import Classifier, lenet
from scratchgan.optim import Adam
from scratchgan.support.errors import DataError
from scratchgan.training import command, option


@dataclass
class Settings(training.Settings):
    """Small enough for five runs in some minutes; the data must not be a folder: it has no test."""

    steps: int = option(3000, "training steps: one is a step of D and a step of G", minimum=1)
    labels: int = option(20, "pictures of each class", minimum=1)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=1)
    embedding: int = option(50, "numbers that a label becomes", minimum=1)
    average: float = option(0.99, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    latent: int = option(64, "length of the latent vector z", minimum=1)
    width: int = option(256, "hidden units of G and of D", minimum=1)


class DataAugmentation(cgan.CGAN):
    """The conditional GAN of `cgan.py`, of 20 pictures a class; D sees all pictures moved."""

    def networks(self, shape, rng):
        return cgan.perceptrons(self.settings, self.settings.width, shape, rng)

    @staticmethod
    def load_data(settings):
        """Return the first pictures of each class, in an order that follows from the seed."""
        images, labels = training.LabelledModel.load_data(settings)
        counts = np.bincount(labels)
        if counts.min() < settings.labels:
            least = f"the {counts.min()} pictures of class {counts.argmin()}"
            raise DataError(f"--labels {settings.labels} is more than {least}.")
        order = np.random.default_rng([settings.seed, 100]).permutation(len(labels))
        of_class = [order[labels[order] == label] for label in range(settings.classes)]
        rows = np.concatenate([numbers[: settings.labels] for numbers in of_class])
        return images[rows], labels[rows]

    def discriminator_step(self, real, labels):
        # D ascends log D(T x | y) + log(1 - D(T G(z | y) | y)), T a shift
        fake, _ = self.G.forward((self.noise(len(real)), labels))
        real_logits, real_tape = self.D.forward((xp.roll(real, self.shift(), (1, 2)), labels))
        fake_logits, fake_tape = self.D.forward((xp.roll(fake, self.shift(), (1, 2)), labels))
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, labels):
        # G ascends log D(T G(z | y) | y)
        down, right = self.shift()
        fake, G_tape = self.G.forward((self.noise(len(labels)), labels))
        logits, D_tape = self.D.forward((xp.roll(fake, (down, right), (1, 2)), labels))
        loss, d_logits = losses.nonsaturating_generator(logits)
        (d_moved, _), _ = self.D.pull(D_tape, d_logits)  # through D, not into D; y has no gradient
        d_fake = xp.roll(d_moved, (-down, -right), (1, 2))  # a shift's adjoint is the shift back
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def shift(self):
        """Return by how many pixels a batch is moved, down and right: black borders may wrap."""
        return tuple(int(pixels) for pixels in self.rng.integers(-2, 3, 2))


# ---- the command `compare` -----------------------------------------------------------------------


@dataclass
class CompareOptions:
    steps: int = option(200, "training steps of each classifier, with 32 real pictures", minimum=1)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: RUN/compare.json)")


def compare(Model, Settings, program, argv):
    """Train a classifier on the run's pictures, another with as many samples added; test both."""
    run, options = command.parse_run(program, "compare", compare.__doc__, CompareOptions, argv)
    model = command.load(Model, Settings, run, options)
    settings, data_dir = model.settings, model.settings.data_dir or None
    test = data.load_images(settings.data, data_dir=data_dir, seed=settings.seed, split="test")
    accuracy = {"n": len(test.labels)}
    for name, samples in (("real pictures", 0), ("with samples added", 32)):
        rng = np.random.default_rng([settings.seed, 101])
        batches = data.Batches(*model.load_data(settings), batch_size=32, rng=rng)
        net = lenet(model.shape, settings.classes, rng=rng)
        optimizer = Adam(net.params(), 1e-3)
        for _ in range(options.steps):
            images, labels = batches.next()
            if samples:
                new = rng.integers(0, settings.classes, samples)
                z = xp.to_device(model.latent(samples, rng))
                images = np.concatenate([images, model.images(z, xp.to_device(new))])
                labels = np.concatenate([labels, new])
            logits, tape = net.forward(xp.to_device(data.to_signed(images)))
            _, d_logits = losses.softmax_cross_entropy(logits, xp.to_device(labels))
            net.accumulate(tape, d_logits)  # into the classifier
            optimizer.step()
        judge = Classifier(net, settings.data, model.shape)
        accuracy[name] = judge.accuracy(test.images, test.labels)
        share = f"{100 * accuracy[name]:.2f} % of {len(test.labels):,} test pictures"
        print(f"seed {settings.seed}, {name}: {share}")
    command.write_numbers(accuracy, options.out or run / "compare.json")


if __name__ == "__main__":
    training.main(DataAugmentation, Settings, commands=[compare])
