"""Retrieval with a discriminator's features (after Radford, Metz & Chintala 2016, section 5.1).

    precision at 10 = E over queries of the share of the query's class among its 10 nearest pictures

D is never told a class. To tell real pictures from generated ones it learns features; are two
pictures that are near each other in these features more often of one class than two that are near
each other in pixels? Near means a large cosine: of the numbers that D's last layer looks at, or of
the pixels. The features of a D that has not been trained are the third competitor: they are what
the architecture alone is good for.

    python examples/uses/retrieval.py                # glyphs: a smaller sngan.py
    python examples/uses/retrieval.py --data mnist   # 2 minutes on a core: 0.86, and in pixels 0.87
    python examples/uses/retrieval.py retrieve runs/retrieval    # the precisions, and a picture
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, plots, training
from scratchgan.examples import wgan_gp
from scratchgan.examples.stability import sngan
from scratchgan.layers import Conv2d, Dense, Flatten, LeakyReLU, Sequential
from scratchgan.training import command, option
from scratchgan.weights import spectral_norm


@dataclass
class Settings(training.Settings):
    """The rates of SNGAN's paper, and few steps: it is D's features that count."""

    steps: int = option(1500, "training steps: one is a step of D and a step of G", minimum=1)
    lr_G: float = option(2e-4, "learning rate of G", minimum=1e-12)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    width: int = option(24, "channels of the stage next to the picture", minimum=1)
    average: float = option(0.0, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class Retrieval(sngan.SNGAN):
    """The game of `stability/sngan.py`. D: a trunk of features, and one dense layer."""

    def networks(self, shape, rng):
        G = wgan_gp.generator(self.settings, shape, rng)
        small, large = self.settings.width, 2 * self.settings.width
        trunk = Sequential(
            Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(small, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
            Conv2d(large, large, 3, padding=1, rng=rng), LeakyReLU(0.1), Flatten(),
        )  # fmt: skip
        D = Sequential(trunk, Dense(7 * 7 * large, 1, rng=rng))
        return G, spectral_norm(D, rng=rng)

    def features(self, images):
        """Return what D's last layer looks at, (N, 7 * 7 * 2 width), on the host."""
        return self.infer(self.D.layers[0], images)


# ---- the command `retrieve` ----------------------------------------------------------------------


def nearest(queries, gallery, k=10):
    """Return the k rows of a gallery (M, F) nearest to each query (N, F), by cosine: (N, k)."""
    unit = lambda x: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return np.argsort(-unit(queries) @ unit(gallery).T, axis=1, kind="stable")[:, :k]


@dataclass
class RetrieveOptions:
    queries: int = option(1000, "test pictures to look for", minimum=1)
    gallery: int = option(5000, "training pictures to look among", minimum=10)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture (default: RUN/retrieval.png); numbers lie beside it")


def retrieve(Model, Settings, program, argv):
    """Print the precision at 10 in D's features and in pixels; draw queries and their 10 nearest.

    Of each pair of rows, the first is by D's features, the second by pixels; what is of another
    class is inverted.
    """
    run, options = command.parse_run(program, "retrieve", retrieve.__doc__, RetrieveOptions, argv)
    out = command.output(options, run, "retrieval.png")
    model = command.load(Model, Settings, run, options)
    settings = model.settings
    source = {"data_dir": settings.data_dir or None, "seed": settings.seed}
    test = data.load_images(settings.data, split="test", **source)
    train = data.load_images(settings.data, split="train", **source)
    queries, gallery = test.images[: options.queries], train.images[: options.gallery]
    untrained = Model(settings, model.shape, np.random.default_rng(settings.seed))
    pixels = lambda images: images.reshape(len(images), -1).astype(np.float32)
    rows, precision = {}, {"queries": len(queries), "gallery": len(gallery)}
    spaces = {"D": model.features, "untrained D": untrained.features, "pixels": pixels}
    for name, features in spaces.items():
        rows[name] = nearest(features(queries), features(gallery))
        right = train.labels[rows[name]] == test.labels[: len(queries), None]
        precision[name] = float(right.mean())
        print(f"precision at 10, {name}: {precision[name]:.3f}")
    pictures = []
    for query in range(min(8, len(queries))):
        for name in ("D", "pixels"):
            same = train.labels[rows[name][query]] == test.labels[query]
            near = gallery[rows[name][query]]
            pictures += [queries[query], *np.where(same[:, None, None, None], near, 255 - near)]
    command.write(plots.grid(np.stack(pictures), columns=11), out)
    command.write_numbers(precision, out.with_suffix(".json"))


if __name__ == "__main__":
    training.main(Retrieval, Settings, commands=[retrieve])
