"""SAGAN (Zhang et al. 2019, "Self-Attention Generative Adversarial Networks").

    y = x + gamma softmax(q k^T) v W_o,  gamma 0 at first
    D descends  E max(0, 1 - D(x, y)) + E max(0, 1 + D(G(z, y), y));   G ascends E D(G(z, y), y)

A convolution sees its neighbours. In one layer of attention each pixel asks all places, and mixes
what they answer: docs/attention.md. It stands in G and in D, at 14 x 14. The game is the one of
`projection.py`: hinge losses, W / sigma(W) in D, classes in G's normalisations and as a scalar
product in D; beside z, too, as numbers that are learned. `--no-attention` leaves the layer out.

    python examples/styles/sagan.py --data mnist
    python examples/styles/sagan.py attention runs/sagan     # what some pixels of samples look at
    python examples/styles/sagan.py accuracy runs/sagan
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import plots, training, xp
from scratchgan.examples.labels import projection
from scratchgan.layers import (
    Conditional,
    ConditionalBatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LabelChannels,
    LeakyReLU,
    PictureAttention,
    Projection,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from scratchgan.support.errors import UserError
from scratchgan.training import command, drawing, option
from scratchgan.weights import spectral_norm

SIDES = (14, 14)  # of the layer of attention, in pixels


@dataclass
class Settings(projection.Settings):
    """Rates of `projection.py`, of smaller batches; a longer average."""

    steps: int = option(6000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(32, "real samples in a training step", minimum=2)
    average: float = option(0.998, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    embedding: int = option(16, "numbers that a label becomes, beside z", minimum=1)
    attention: bool = option(True, "let each pixel at 14 x 14 ask all places, in G and in D")


class SAGAN(projection.ProjectionGAN):
    """The game of `projection.py`, with attention."""

    def networks(self, shape, rng):
        """Return G: z to 7 x 7 to 14 x 14 to 28 x 28; D: back to 7 x 7, and the projection."""
        classes, small, large = self.settings.classes, self.settings.width, 2 * self.settings.width
        told = self.settings.embedding
        look = lambda: [PictureAttention(small, SIDES, rng=rng)] * self.settings.attention
        G = Conditional(
            LabelChannels(classes, told, rng=rng),
            Dense(self.settings.latent + told, 7 * 7 * large, rng=rng), Reshape(7, 7, large),
            ConditionalBatchNorm(classes, large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, rng=rng),
            ConditionalBatchNorm(classes, small), ReLU(), *look(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, rng=rng), Tanh(),
        )  # fmt: skip
        D = Conditional(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1), *look(),
            Conv2d(small, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(large, large, 3, padding=1, rng=rng), LeakyReLU(0.1),
            Flatten(), Projection(7 * 7 * large, classes, rng=rng),
        )  # fmt: skip
        return G, spectral_norm(D, rng=rng)

    def looked_at_by(self, z, labels):
        """Return where each of G's pixels looks, (N, 14 x 14, 7 x 7): each row sums to 1."""
        G = self.G_average.net
        kinds = [isinstance(layer, PictureAttention) for _, layer in G.inside()]
        x, _ = Sequential(*G.layers[: kinds.index(True)])((z, labels))
        return G.inside()[kinds.index(True)][1].weights(x)


# ---- the command `attention` ---------------------------------------------------------------------


@dataclass
class AttentionOptions:
    seed: int = option(0, "the latent vectors follow from it", minimum=0)
    scale: int = option(3, "times that each pixel is drawn, in both directions", minimum=1)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture (default: RUN/attention.png)")


def attention(Model, Settings, program, argv):
    """Draw a sample of each class three times, a pixel in red, and beside it what it looks at."""
    about = attention.__doc__
    run, options = command.parse_run(program, "attention", about, AttentionOptions, argv)
    out = command.output(options, run, "attention.png")
    model = command.load(Model, Settings, run, options)
    if not model.settings.attention:
        raise UserError(f"{run} was trained with --no-attention.")
    labels = xp.arange(model.settings.classes)
    z = xp.to_device(model.latent(len(labels), np.random.default_rng(options.seed)))
    seen = xp.to_host(model.looked_at_by(z, labels))  # (N, 196, 49)
    samples = zip(model.images(z, labels), seen, strict=True)
    pictures = [picture for sample in samples for picture in pairs(*sample)]
    command.write(drawing.enlarge(plots.grid(np.stack(pictures), columns=6), options.scale), out)


def pairs(image, seen):
    """Return six pictures (28, 28, 3): two bright pixels and a dark one, each with its map."""
    grey = image.mean(-1).reshape(14, 2, 14, 2).mean((1, 3)).ravel()  # of each place, (196,)
    pictures = []
    for place in (grey[:98].argmax(), 98 + grey[98:].argmax(), grey.argmin()):
        marked, (h, w) = np.repeat(image[..., :1], 3, axis=-1), divmod(place, 14)
        marked[2 * h : 2 * h + 2, 2 * w : 2 * w + 2] = 230, 40, 40
        looks = seen[place].reshape(7, 7, 1) / seen[place].max()
        looks = np.rint(255 * looks).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        pictures += [marked, looks.repeat(3, 2)]
    return pictures


if __name__ == "__main__":
    training.main(SAGAN, Settings, commands=[training.accuracy, attention])
