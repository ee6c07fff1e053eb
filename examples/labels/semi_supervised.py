"""A classifier of 100 labels (Salimans et al. 2016, "Improved Techniques for Training GANs").

D has K logits, and always 0 for a class "fake" (section 5): D(x) = Z(x) / (Z(x) + 1), Z = sum exp.

    D descends  -E log p(y | x, not fake) - 1/2 E log D(x) - 1/2 E log(1 - D(G(z)))
    G descends  |E f(x) - E f(G(z))|^2,  f the last hidden layer of D                  (section 3.1)

The first term sees labelled pictures only, the second all. What counts is D's error on held-out
pictures: `error`, of an average of its weights. G's samples need not look good.

    python examples/labels/semi_supervised.py --data mnist      # 5 minutes: 3 to 5 % wrong
    python examples/labels/semi_supervised.py --data mnist --supervised   # without G: 13 %
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, training, xp
from scratchgan.data.batches import gather
from scratchgan.data.few_labels import hide_labels
from scratchgan.initializers import glorot
from scratchgan.layers import BatchNorm, Dense, Flatten, GaussianNoise, Reshape, Sequential
from scratchgan.layers.activations import ReLU, Sigmoid, Softplus
from scratchgan.layers.augment import Shift
from scratchgan.optim import EMA, Adam, linear_decay
from scratchgan.training import option
from scratchgan.weights import WeightNorm, weight_norm


@dataclass
class Settings(training.Settings):
    """The authors' for MNIST, but half of their units, a third of G's rate, fewer steps."""

    steps: int = option(8000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(100, "labelled, unlabelled and generated samples in a step", minimum=2)
    lr: float = option(3e-3, "D's learning rate; in the last third it falls to 0", minimum=1e-12)
    lr_G: float = option(1e-3, "G's learning rate, which falls, too", minimum=1e-12)
    labels: int = option(10, "labelled pictures of each class", minimum=1)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=2)
    supervised: bool = option(False, "train D on the labelled pictures alone")
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(500, "units of D's first layer; others: a half, a quarter", minimum=4)
    shift: int = option(2, "D sees pictures moved by up to so many pixels", minimum=0, maximum=8)


class SemiSupervisedGAN(training.Model):
    """Perceptrons: G with batch norm and softplus; D with noise on every layer and weight norm."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = self.networks(shape, rng)
        falling = lambda lr: linear_decay(lr, settings.steps, start=2 * settings.steps // 3)
        self.opt_G = Adam(self.G.params(), falling(settings.lr_G), betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), falling(settings.lr), betas=(0.5, 0.999))
        self.D_average = EMA(self.D, 0.998)

    def networks(self, shape, rng):
        settings, pixels, width = self.settings, int(np.prod(shape)), self.settings.width
        G = Sequential(
            Dense(settings.latent, width // 2, rng=rng), BatchNorm(width // 2), Softplus(),
            Dense(width // 2, width // 2, rng=rng), BatchNorm(width // 2), Softplus(),
            Dense(width // 2, pixels, rng=rng, initialize=glorot), Sigmoid(), Reshape(*shape),
        )  # fmt: skip
        moved = [Shift(settings.shift / shape[0], rng=rng)] if settings.shift else []
        units, hidden = [pixels, width, width // 2, *3 * [width // 4]], []
        for before, after in zip(units, units[1:], strict=False):
            noise = GaussianNoise(0.5 if hidden else 0.3, rng=rng)
            hidden += [noise, Dense(before, after, rng=rng), ReLU()]
        head = Sequential(GaussianNoise(0.5, rng=rng), Dense(width // 4, settings.classes, rng=rng))
        return G, weight_norm(Sequential(Sequential(*moved, Flatten(), *hidden), head))

    @staticmethod
    def load_data(settings):
        """Return all pictures, and their labels with -1 for those that are not told."""
        images, labels = training.LabelledModel.load_data(settings)
        return images, hide_labels(labels, settings.labels, np.random.default_rng(settings.seed))

    def step(self, batches):
        if self.opt_D.steps == 0:
            self.start_at(self.scaled(batches.arrays[0][:500]))
        real = self.scaled(batches.next()[0])  # (N, 28, 28, C)
        images, labels = self.draw_labelled(batches, len(real))
        D = self.discriminator_step(real, self.scaled(images), xp.to_device(labels))
        return {"D": D} if self.settings.supervised else {"D": D, "G": self.generator_step(real)}

    def scaled(self, images):
        """Return pictures as D sees them, from 0 to 1: black is silent, and moves no weight."""
        return xp.to_device(images).astype("float32") / 255

    def draw_labelled(self, batches, n):
        """Return n of the labelled pictures, each as often as the others, and their labels."""
        images, labels = batches.arrays
        rows = np.resize(self.rng.permutation(np.flatnonzero(labels >= 0)), n)
        return gather(images, rows), labels[rows]

    def start_at(self, x):
        """Let D's layers begin with means 0 and variances 1 (Salimans & Kingma 2016, section 3)."""
        for layer in (*self.D.layers[0].layers, *self.D.layers[1].layers):
            if isinstance(layer, Dense):
                y, _ = layer.forward(x)
                layer.W.g.value[...] /= y.std(0)
                layer.b.value[...] = -y.mean(0) / y.std(0)
            x, _ = layer.forward(x)

    def discriminator_step(self, real, labelled, labels):
        # D descends -log p(y | x, not fake) - 1/2 log D(x) - 1/2 log(1 - D(G(z)))
        if self.settings.supervised:
            logits, tape = self.D.forward(labelled)
            loss, *d_logits = losses.softmax_cross_entropy(logits, labels)
        else:
            fake, _ = self.G.forward(self.noise(len(real)))
            logits, tape = self.D.forward(xp.concatenate([labelled, real, fake]))  # as one batch
            told, *others = logits.reshape(3, len(labels), -1)
            loss, *d_logits = losses.semi_supervised_discriminator(told, labels, *others)
        self.D.accumulate(tape, xp.concatenate(d_logits))
        f = self.D.layers[0]
        lengths = [(W.g.value, W.g.value.copy()) for W in f.params() if isinstance(W, WeightNorm)]
        self.opt_D.step()
        for g, length in lengths:
            g[...] = length  # as in the authors' code, only the last layer learns a length
        self.D_average.update()
        return loss

    def generator_step(self, real):
        # G descends |E f(x) - E f(G(z))|^2
        f = self.D.layers[0]
        fake, G_tape = self.G.forward(self.noise(len(real)))
        real_features, _ = f.forward(real)
        fake_features, f_tape = f.forward(fake)
        loss, d_features = losses.feature_matching(real_features, fake_features)
        d_fake, _ = f.pull(f_tape, d_features)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        return loss

    def generate(self, z):
        return 2 * self.G(z) - 1  # [-1, 1], as all models here

    def report(self):
        held_out = self.held_out()
        if held_out is None:
            return {}
        D = lambda x: self.D_average.net((x + 1) / 2)  # of pictures in [-1, 1]
        wrong = self.infer(D, held_out.images).argmax(1) != held_out.labels
        return {"error": float(wrong.mean()), "errors": int(wrong.sum())}


if __name__ == "__main__":
    training.main(SemiSupervisedGAN, Settings)
