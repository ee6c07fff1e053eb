"""Retrieval with a discriminator's features (after Radford, Metz & Chintala 2016, section 5.1).

    precision at 10 = E over queries of the share of the query's class among its 10 nearest pictures

D is never told a class. To tell real pictures from generated ones it learns features; are two pictures that are near
each other in these features more often of one class than two that are near each other in pixels? Near means a large
cosine: of the numbers that D's last layer looks at, or of the pixels. The features of a D that has not been trained are
the third competitor: they are what the architecture alone is good for.

    python examples/retrieval.py                    # glyphs: trains a smaller GAN of the kind of examples/sngan.py
    python examples/retrieval.py --data mnist       # 2 minutes on a core: 0.86, and in pixels 0.87
    python examples/retrieval.py retrieve runs/retrieval    # the three precisions, and a picture of some queries
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, plots, training, xp
from scratchgan.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from scratchgan.optim import Adam
from scratchgan.param import spectral_norm
from scratchgan.training import command, option


@dataclass
class Settings(training.Settings):
    """Hinge losses and spectral normalisation, as in examples/sngan.py; 3/8 of its width, D a convolution less."""

    steps: int = option(1500, "training steps: one is a step of D and a step of G", minimum=1)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(24, "channels of the stage next to the picture", minimum=1)


class Retrieval(training.Model):
    """G and D of a GAN without labels; D is a trunk, whose output are the features, and one dense layer."""

    convolutional = True

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        small, large = settings.width, 2 * settings.width
        self.G = Sequential(
            Dense(settings.latent, 7 * 7 * large, rng=rng), Reshape(7, 7, large), BatchNorm(large), ReLU(),
            ConvTranspose2d(large, small, 4, stride=2, padding=1, rng=rng), BatchNorm(small), ReLU(),
            ConvTranspose2d(small, shape[-1], 4, stride=2, padding=1, rng=rng), Tanh(),
        )  # fmt: skip
        trunk = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(small, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(large, large, 3, padding=1, rng=rng), LeakyReLU(0.1), Flatten(),
        )  # fmt: skip
        self.D = spectral_norm(Sequential(trunk, Dense(7 * 7 * large, 1, rng=rng)), rng=rng)
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.5, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr, betas=(0.5, 0.999))

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def discriminator_step(self, real):
        # D descends max(0, 1 - D(x)) + max(0, 1 + D(G(z)))
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(real)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.hinge_discriminator(real_logits, fake_logits)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, n):
        # G ascends D(G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.hinge_generator(logits)
        self.G.backward(G_tape, self.D.backward(D_tape, d_logits, grads=False))
        self.opt_G.step()
        return loss

    def generate(self, z):
        return self.G(z)

    def features(self, images):
        """Return what D's last layer looks at: uint8 (N, 28, 28, C) to (N, 7 * 7 * 2 width), on the host."""
        trunk = self.D.layers[0]
        parts = (images[i : i + 256] for i in range(0, len(images), 256))
        return np.concatenate([xp.to_host(trunk(xp.to_device(data.to_signed(part)))) for part in parts])


# ---- the command `retrieve` ------------------------------------------------------------------------------


def nearest(queries, gallery, k=10):
    """Return the k rows of the gallery, (M, F), whose cosine with each query, (N, F), is largest: (N, k)."""
    unit = lambda x: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return np.argsort(-unit(queries) @ unit(gallery).T, axis=1, kind="stable")[:, :k]


@dataclass
class RetrieveOptions:
    queries: int = option(1000, "test pictures to look for", minimum=1)
    gallery: int = option(5000, "training pictures to look among", minimum=10)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture to write (default: RUN/retrieval.png); the numbers lie beside it, as JSON")


def retrieve(Model, Settings, program, argv):
    """Print the precision at 10 in D's features and in pixels; draw queries, each with its 10 nearest in both.

    Of each pair of rows, the first is by D's features, the second by pixels; what is of another class is inverted.
    """
    run, options = command.parse_run(program, "retrieve", retrieve.__doc__, RetrieveOptions, argv)
    out = command.output(options, run, "retrieval.png")
    model = command.load(Model, Settings, run, options)
    load = lambda split: data.load_images(
        model.settings.data, data_dir=model.settings.data_dir or None, seed=model.settings.seed, split=split
    )
    test, train = load("test"), load("train")
    queries, gallery = test.images[: options.queries], train.images[: options.gallery]
    untrained = Model(model.settings, model.shape, np.random.default_rng(model.settings.seed))
    pixels = lambda images: images.reshape(len(images), -1).astype(np.float32)
    rows, precision = {}, {"queries": len(queries), "gallery": len(gallery)}
    for name, features in {"D": model.features, "untrained D": untrained.features, "pixels": pixels}.items():
        rows[name] = nearest(features(queries), features(gallery))
        precision[name] = float((train.labels[rows[name]] == test.labels[: len(queries), None]).mean())
        print(f"precision at 10, {name}: {precision[name]:.3f}")
    pictures = []
    for query in range(min(8, len(queries))):
        for name in ("D", "pixels"):
            same = train.labels[rows[name][query]] == test.labels[query]
            found = gallery[rows[name][query]]
            pictures += [queries[query], *np.where(same[:, None, None, None], found, 255 - found)]
    command.write(plots.grid(np.stack(pictures), columns=11), out)
    command.write_numbers(precision, out.with_suffix(".json"))


if __name__ == "__main__":
    training.main(Retrieval, Settings, commands=[retrieve])
