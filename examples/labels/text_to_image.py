"""Captions of glyphs (Reed et al. 2016, "Generative Adversarial Text to Image Synthesis").

Captions such as "a large bold italic seven, tilted left" are made from the glyphs' true factors. An
encoder turns a bag of words t into 32 numbers; they stand beside z in G, and in D beside the
features at 7 x 7 positions (figure 2). D is matching-aware (algorithm 1): a real picture with a
wrong caption is fake. A wrong one differs in one attribute:

    D ascends  log D(x, t) + 1/2 log(1 - D(x, wrong t)) + 1/2 log(1 - D(G(z, t), t))
    G ascends  log D(G(z, t), t)

    python examples/labels/text_to_image.py      # 2 minutes on a core: 9 of 10 digits right
    python examples/labels/text_to_image.py sample runs/text_to_image --caption "a bold seven"
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.data import captions, glyphs
from scratchgan.initializers import normal
from scratchgan.layers import BatchNorm, Conv2d, ConvTranspose2d, Dense, Flatten, Reshape
from scratchgan.layers.activations import LeakyReLU, ReLU, Tanh
from scratchgan.layers.compose import Each, Join, Sequential
from scratchgan.optim import Adam
from scratchgan.training import command, option


@dataclass
class Settings(training.Settings):
    """DCGAN's, but narrow; G's learning rate is 5 times D's."""

    steps: int = option(2000, "training steps: one is a step of D and a step of G", minimum=1)
    data: str = option("glyphs", "data set: only glyphs know their factors", choices=("glyphs",))
    latent: int = option(100, "length of the noise z", minimum=1)
    text: int = option(32, "numbers that a caption becomes", minimum=1)
    width: int = option(16, "channels of the stage next to the picture", minimum=1)


@dataclass
class SampleOptions(command.SampleOptions):
    caption: str = option("", "what to draw, such as: a bold seven (default: any)")


class TextToImage(training.Model):
    """G: (z, t) to 7 x 7 to 14 x 14 to 28 x 28. D: down to 7 x 7, joined by t, to a logit."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        small, large, text = settings.width, 2 * settings.width, settings.text
        drawn = {"rng": rng, "initialize": normal}
        self.G = Sequential(
            Each(Sequential(), encoder(text, rng)), Join(),  # (N, latent + text)
            Dense(settings.latent + text, 7 * 7 * large, **drawn),
            Reshape(7, 7, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, **drawn),
            BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, **drawn), Tanh(),
        )  # fmt: skip
        look = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, **drawn), LeakyReLU(0.2),
            Conv2d(small, large, 4, stride=2, padding=1, **drawn), BatchNorm(large), LeakyReLU(0.2),
        )  # fmt: skip
        self.D = Sequential(
            Each(look, encoder(text, rng)), Join(),  # (N, 7, 7, large + text)
            Conv2d(large + text, large, 1, **drawn), BatchNorm(large), LeakyReLU(0.2),
            Flatten(), Dense(7 * 7 * large, 1, **drawn),
        )  # fmt: skip
        self.opt_G = Adam(self.G.params(), 5 * settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))

    @staticmethod
    def load_data(settings):
        pictures = glyphs.load(seed=settings.seed)
        return pictures.images, captions.attributes(pictures.factors)

    def latent(self, n, rng):
        """Return n rows [z, bag of words], float32, of captions as they occur in the data."""
        z = rng.standard_normal((n, self.settings.latent), dtype=np.float32)
        return np.hstack([z, captions.bags_of(captions.draw(n, rng))])

    def noise(self, n):
        return xp.to_device(self.latent(n, self.rng))  # words are drawn on the host at all times

    def step(self, batches):
        images, attributes = batches.next()
        real = xp.to_device(data.to_signed(images))  # (N, 28, 28, 1)
        right = xp.to_device(captions.bags_of(attributes))  # (N, words)
        wrong = xp.to_device(captions.bags_of(captions.mistaken(attributes, self.rng)))
        D = self.discriminator_step(real, right, wrong)
        return {"D": D, "G": self.generator_step(len(real))}

    def discriminator_step(self, real, right, wrong):
        # D ascends log D(x, t) + 1/2 log(1 - D(x, wrong t)) + 1/2 log(1 - D(G(z, t), t))
        z, text = self.split(self.noise(len(real)))
        fake, _ = self.G.forward((z, text))
        right_logits, right_tape = self.D.forward((real, right))
        wrong_logits, wrong_tape = self.D.forward((real, wrong))
        fake_logits, fake_tape = self.D.forward((fake, text))
        right_loss, d_right = losses.binary_cross_entropy(right_logits, 1.0)
        wrong_loss, d_wrong = losses.binary_cross_entropy(wrong_logits, 0.0)
        fake_loss, d_fake = losses.binary_cross_entropy(fake_logits, 0.0)
        self.D.accumulate(right_tape, d_right)  # into D
        self.D.accumulate(wrong_tape, 0.5 * d_wrong)
        self.D.accumulate(fake_tape, 0.5 * d_fake)
        self.opt_D.step()
        return right_loss + 0.5 * (wrong_loss + fake_loss)

    def generator_step(self, n):
        # G ascends log D(G(z, t), t)
        z, text = self.split(self.noise(n))
        fake, G_tape = self.G.forward((z, text))
        logits, D_tape = self.D.forward((fake, text))
        loss, d_logits = losses.nonsaturating_generator(logits)
        (d_fake, _), _ = self.D.pull(D_tape, d_logits)  # through D, not into D; t needs no gradient
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        return loss

    def split(self, z):
        """Return z's noise and its bag of words."""
        return z[:, : self.settings.latent], z[:, self.settings.latent :]

    def generate(self, z):
        return self.G(self.split(z))


def encoder(features, rng):
    """Return a text encoder: a sum of embeddings of words, (N, words) to (N, features)."""
    return Sequential(Dense(len(captions.VOCABULARY), features, rng=rng), LeakyReLU(0.2))


def sample(Model, Settings, program, argv):
    """Draw a grid of samples, of a caption if one is given."""
    run, options = command.parse_run(program, "sample", sample.__doc__, SampleOptions, argv)
    out = command.output(options, run, "grid.png")
    model = command.load(Model, Settings, run, options)

    def latent(n, rng):
        z = model.latent(n, rng)
        if options.caption:
            z[:, model.settings.latent :] = captions.bags([options.caption])
        return z

    command.draw_samples(model, options, out, latent)


if __name__ == "__main__":
    training.main(TextToImage, Settings, commands=[sample])
