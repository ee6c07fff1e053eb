"""A classifier that learns from 100 labels and a GAN (Salimans et al. 2016, "Improved Techniques for Training GANs").

D has K logits; a class "fake" is the one more, its logit always 0 (section 5). With Z(x) the sum of exp of the logits,

    D descends  -E log p(y | x, not fake) - 1/2 E log D(x) - 1/2 E log(1 - D(G(z))),    D(x) = Z(x) / (Z(x) + 1)
    G descends  |E f(x) - E f(G(z))|^2,  f the last hidden layer of D                  (feature matching, section 3.1)

The first term sees pictures with labels only, the second all of them. What counts is D's error on held-out pictures:
`error`, of an average of D's weights. G's samples are a means; they need not look good, and do not.

    python examples/semi_supervised.py --data mnist      # or glyphs. 7 minutes on a core: 5 to 10 % of errors
    python examples/semi_supervised.py --data mnist --supervised     # the same D, labelled pictures only: 22 %
"""

import math
from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.data.batches import gather
from scratchgan.errors import DataError
from scratchgan.initializers import glorot
from scratchgan.layers import BatchNorm, Dense, Flatten, GaussianNoise, ReLU, Reshape, Sequential, Softplus, Tanh
from scratchgan.optim import EMA, Adam, linear_decay
from scratchgan.param import weight_norm
from scratchgan.training import option


@dataclass
class Settings(training.Settings):
    """The authors' for MNIST, but half of their units, and fewer steps: their 300 epochs of 60,000 are 180,000."""

    steps: int = option(8000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(100, "samples of each kind in a step: labelled, unlabelled, generated", minimum=2)
    lr: float = option(3e-3, "learning rate; in the last third of the steps it falls to 0", minimum=1e-12)
    labels: int = option(10, "labelled pictures of each class", minimum=1)
    classes: int = option(10, "K: the labels are 0 to K - 1", minimum=2)
    supervised: bool = option(False, "train D on the labelled pictures alone")
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(500, "units of D's first layer; the others have a half or a quarter", minimum=4)


class SemiSupervisedGAN(training.Model):
    """Perceptrons: G with batch norm and softplus; D with noise on every layer and weight norm."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        pixels, half, quarter = int(np.prod(shape)), settings.width // 2, settings.width // 4
        self.G = Sequential(
            Dense(settings.latent, half, rng=rng), BatchNorm(half), Softplus(),
            Dense(half, half, rng=rng), BatchNorm(half), Softplus(),
            Dense(half, pixels, rng=rng, initialize=glorot), Tanh(), Reshape(*shape),
        )  # fmt: skip
        units = [pixels, settings.width, half, quarter, quarter, quarter]
        hidden = []
        for before, after in zip(units, units[1:], strict=False):
            hidden += [GaussianNoise(0.5 if hidden else 0.6, rng=rng), Dense(before, after, rng=rng), ReLU()]
        head = Sequential(GaussianNoise(0.5, rng=rng), Dense(quarter, settings.classes, rng=rng))
        self.D = weight_norm(Sequential(Sequential(Flatten(), *hidden), head))
        self.hold_lengths()
        hidden[1].b.value[...] = hidden[1].W.effective().sum(0)  # W x + b: pixels enter as if from 0 to 1, black as 0
        schedule = linear_decay(settings.lr, settings.steps, start=2 * settings.steps // 3)
        self.opt_G = Adam(self.G.params(), schedule, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), schedule, betas=(0.5, 0.999))
        self.D_average = EMA(self.D, 0.998)

    @staticmethod
    def load_data(settings):
        """Return all pictures, and their labels with -1 for those that are not told."""
        found = data.load_images(settings.data, data_dir=settings.data_dir or None, seed=settings.seed)
        data.check_labels(found.labels, settings.classes)
        return found.images, hide_labels(found.labels, settings.labels, np.random.default_rng(settings.seed))

    def step(self, batches):
        images, _ = batches.next()
        real = xp.to_device(data.to_signed(images))  # (N, 28, 28, C)
        images, labels = self.draw_labelled(batches, len(real))
        D = self.discriminator_step(real, xp.to_device(data.to_signed(images)), xp.to_device(labels))
        return {"D": D} if self.settings.supervised else {"D": D, "G": self.generator_step(real)}

    def draw_labelled(self, batches, n):
        """Return n of the pictures whose label is told, drawn with replacement, and their labels."""
        images, labels = batches.arrays
        rows = self.rng.choice(np.flatnonzero(labels >= 0), n)
        return gather(images, rows), labels[rows]

    def discriminator_step(self, real, labelled, labels):
        # D descends -log p(y | x, not fake) - 1/2 log D(x) - 1/2 log(1 - D(G(z)))
        labelled_logits, labelled_tape = self.D.forward(labelled)
        if self.settings.supervised:
            loss, d_labelled = losses.softmax_cross_entropy(labelled_logits, labels)
        else:
            fake = self.G.forward(self.noise(len(real)))[0]
            real_logits, real_tape = self.D.forward(real)
            fake_logits, fake_tape = self.D.forward(fake)
            loss, d_labelled, d_real, d_fake = losses.semi_supervised_discriminator(
                labelled_logits, labels, real_logits, fake_logits
            )
            self.D.backward(real_tape, d_real)
            self.D.backward(fake_tape, d_fake)
        self.D.backward(labelled_tape, d_labelled)
        self.opt_D.step()
        self.hold_lengths()
        self.D_average.update()
        return loss

    def hold_lengths(self):
        """Let D's hidden weights have the lengths that keep the scale of activations (He et al. 2015), at all times.

        As in the authors' code, lengths are learned in the last layer only: features that grew would run away from G.
        """
        for index, layer in enumerate(self.D.layers[0].layers[2::3]):
            layer.W.g.value[...] = math.sqrt(2) * (1 if index else 0.5)

    def generator_step(self, real):
        # G descends |E f(x) - E f(G(z))|^2
        f = self.D.layers[0]
        fake, G_tape = self.G.forward(self.noise(len(real)))
        real_features = f.forward(real)[0]
        fake_features, f_tape = f.forward(fake)
        loss, d_features = losses.feature_matching(real_features, fake_features)
        self.G.backward(G_tape, f.backward(f_tape, d_features, grads=False))
        self.opt_G.step()
        return loss

    def generate(self, z):
        return self.G(z)

    def report(self):
        held_out = self.held_out()
        if held_out is None:
            return {}
        said = self.infer(self.D_average.net, held_out.images).argmax(1)
        return {"error": float((said != held_out.labels).mean()), "errors": int((said != held_out.labels).sum())}


def hide_labels(labels, each, rng):
    """Return the labels of `each` pictures of every class, drawn at random, and -1 for all others."""
    told = np.full_like(labels, -1)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < each:
            raise DataError(f"--labels {each} is more than the {len(rows)} pictures of class {label}.")
        told[rng.permutation(rows)[:each]] = label
    return told


if __name__ == "__main__":
    training.main(SemiSupervisedGAN, Settings)
