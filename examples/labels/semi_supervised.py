"""A classifier of 100 labels (Salimans et al. 2016, "Improved Techniques for Training GANs").

D has K logits, and always 0 for a class "fake" (section 5): D(x) = Z(x) / (Z(x) + 1), Z = sum exp.

    D descends  -E log p(y | x, not fake) - 1/2 E log D(x) - 1/2 E log(1 - D(G(z)))
    G descends  |E f(x) - E f(G(z))|^2,  f the last hidden layer of D                  (section 3.1)

The first term sees labelled pictures only, the second all. What counts is D's error on held-out
pictures: `error`, of an average of its weights. G's samples need not look good, and do not.

    python examples/labels/semi_supervised.py --data mnist      # 7 minutes: 5 to 10 % wrong
    python examples/labels/semi_supervised.py --data mnist --supervised   # without G: 22 %
"""

import math
from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.data.batches import gather
from scratchgan.data.few_labels import hide_labels
from scratchgan.initializers import glorot
from scratchgan.layers import BatchNorm, Dense, Flatten, GaussianNoise, Reshape, Sequential
from scratchgan.layers.activations import ReLU, Softplus, Tanh
from scratchgan.optim import EMA, Adam, linear_decay
from scratchgan.training import option
from scratchgan.weights import weight_norm


@dataclass
class Settings(training.Settings):
    """The authors' for MNIST, but half of their units, and fewer steps than their 180,000."""

    steps: int = option(8000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(100, "labelled, unlabelled and generated samples in a step", minimum=2)
    lr: float = option(3e-3, "learning rate; in the last third it falls to 0", minimum=1e-12)
    labels: int = option(10, "labelled pictures of each class", minimum=1)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=2)
    supervised: bool = option(False, "train D on the labelled pictures alone")
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(500, "units of D's first layer; others: a half, a quarter", minimum=4)


class SemiSupervisedGAN(training.Model):
    """Perceptrons: G with batch norm and softplus; D with noise on every layer and weight norm."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G, self.D = self.networks(shape, rng)
        schedule = linear_decay(settings.lr, settings.steps, start=2 * settings.steps // 3)
        self.opt_G = Adam(self.G.params(), schedule, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), schedule, betas=(0.5, 0.999))
        self.D_average = EMA(self.D, 0.998)

    def networks(self, shape, rng):
        settings, pixels = self.settings, int(np.prod(shape))
        half, quarter = settings.width // 2, settings.width // 4
        G = Sequential(
            Dense(settings.latent, half, rng=rng), BatchNorm(half), Softplus(),
            Dense(half, half, rng=rng), BatchNorm(half), Softplus(),
            Dense(half, pixels, rng=rng, initialize=glorot), Tanh(), Reshape(*shape),
        )  # fmt: skip
        units, hidden = [pixels, settings.width, half, quarter, quarter, quarter], []
        for before, after in zip(units, units[1:], strict=False):
            noise = GaussianNoise(0.5 if hidden else 0.6, rng=rng)
            hidden += [noise, Dense(before, after, rng=rng), ReLU()]
        head = Sequential(GaussianNoise(0.5, rng=rng), Dense(quarter, settings.classes, rng=rng))
        D = weight_norm(Sequential(Sequential(Flatten(), *hidden), head))
        self.hold_lengths(D)
        hidden[1].b.value[...] = hidden[1].W.effective().sum(0)  # W (x + 1): black enters as 0
        return G, D

    @staticmethod
    def load_data(settings):
        """Return all pictures, and their labels with -1 for those that are not told."""
        images, labels = training.LabelledModel.load_data(settings)
        return images, hide_labels(labels, settings.labels, np.random.default_rng(settings.seed))

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()[0]))  # (N, 28, 28, C)
        images, labels = self.draw_labelled(batches, len(real))
        labelled, labels = xp.to_device(data.to_signed(images)), xp.to_device(labels)
        D = self.discriminator_step(real, labelled, labels)
        return {"D": D} if self.settings.supervised else {"D": D, "G": self.generator_step(real)}

    def draw_labelled(self, batches, n):
        """Return n of the pictures whose label is told, with replacement, and their labels."""
        images, labels = batches.arrays
        rows = self.rng.choice(np.flatnonzero(labels >= 0), n)
        return gather(images, rows), labels[rows]

    def discriminator_step(self, real, labelled, labels):
        # D descends -log p(y | x, not fake) - 1/2 log D(x) - 1/2 log(1 - D(G(z)))
        labelled_logits, labelled_tape = self.D.forward(labelled)
        if self.settings.supervised:
            loss, d_labelled = losses.softmax_cross_entropy(labelled_logits, labels)
        else:
            fake, _ = self.G.forward(self.noise(len(real)))
            real_logits, real_tape = self.D.forward(real)
            fake_logits, fake_tape = self.D.forward(fake)
            logits = labelled_logits, labels, real_logits, fake_logits
            loss, d_labelled, d_real, d_fake = losses.semi_supervised_discriminator(*logits)
            self.D.accumulate(real_tape, d_real)  # into D
            self.D.accumulate(fake_tape, d_fake)
        self.D.accumulate(labelled_tape, d_labelled)
        self.opt_D.step()
        self.hold_lengths(self.D)
        self.D_average.update()
        return loss

    def hold_lengths(self, D):
        """Hold D's hidden weights at the lengths that keep activations' scale (He et al. 2015).

        As in the authors' code, only the last layer learns a length: features must not run away.
        """
        for index, layer in enumerate(D.layers[0].layers[2::3]):
            layer.W.g.value[...] = math.sqrt(2) * (1 if index else 0.5)

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
        return self.G(z)

    def report(self):
        held_out = self.held_out()
        if held_out is None:
            return {}
        wrong = self.infer(self.D_average.net, held_out.images).argmax(1) != held_out.labels
        return {"error": float(wrong.mean()), "errors": int(wrong.sum())}


if __name__ == "__main__":
    training.main(SemiSupervisedGAN, Settings)
