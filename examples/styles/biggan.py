"""Of BigGAN (Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis").

    norm k = 1, 2 of G:  y = (1 + g_k(s_k)) xhat + h_k(s_k),  s_k = [z_k, e],  e = E[label]
    D descends  E max(0, 1 - D(x, y)) + E max(0, 1 + D(G(z, y), y))
    G ascends  E D(G(z, y), y) - 1e-4 sum over its W of |W^T W (1 - I)|^2                    (eq. 3)

It adds to the game of `sagan.py`: one embedding e for all norms, and a piece of z = [z_0, z_1, z_2]
for each and the start; weights of G that are nearly orthogonal; truncation: where all numbers of z
are within [-t, t], samples are better, and more alike. docs/styles.md has what came out.

    python examples/styles/biggan.py --data mnist
    python examples/styles/biggan.py truncate runs/biggan     # t = 2, 1, 1/2, 1/4
    python examples/styles/biggan.py accuracy runs/biggan
"""

import copy
from dataclasses import dataclass

import numpy as np

from scratchgan import data, penalties, plots, training, xp
from scratchgan.examples.styles import sagan
from scratchgan.initializers import orthogonal
from scratchgan.layers import (
    BatchNorm,
    Concat,
    Conditional,
    ConvTranspose2d,
    Dense,
    Each,
    FiLM,
    Fork,
    LabelChannels,
    PictureAttention,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from scratchgan.layers.shape import Columns
from scratchgan.support.errors import SettingsError
from scratchgan.training import command, drawing, evaluate, option


@dataclass
class Settings(sagan.Settings):
    """Rates of `sagan.py`; the weight of what keeps W orthogonal is the paper's."""

    steps: int = option(4000, "training steps: one is D-steps of D and one of G", minimum=1)
    D_steps: int = option(2, "steps of D for a step of G", minimum=1)
    latent: int = option(96, "numbers of z, a multiple of 3", minimum=3)
    embedding: int = option(32, "numbers that a label becomes, for all normalisations", minimum=1)
    orthogonal: float = option(1e-4, "weight of what keeps the W of G orthogonal", minimum=0)

    def __post_init__(self):
        super().__post_init__()
        if self.latent % 3:
            raise SettingsError(f"--latent {self.latent} cannot be cut into 3 equal pieces.")


class BigGAN(sagan.SAGAN):
    """The game of `sagan.py`; G hears the class and a piece of z in each normalisation."""

    def networks(self, shape, rng):
        settings = self.settings
        _, D = super().networks(shape, rng)
        small, large = settings.width, 2 * settings.width
        drawn = {"rng": rng, "initialize": orthogonal}
        grow = lambda *sizes: ConvTranspose2d(*sizes, 4, stride=2, padding=1, **drawn)
        own, heard = settings.latent // 3, settings.latent // 3 + settings.embedding
        norm = lambda k, C: (BatchNorm(C, affine=False), self.told(k, FiLM(heard, C, rng=rng)), ReLU())
        look = [PictureAttention(small, sagan.SIDES, rng=rng)] * settings.attention
        first = Sequential(Columns(0, own), Dense(own, 7 * 7 * large, **drawn), Reshape(7, 7, large))
        G = Sequential(
            LabelChannels(settings.classes, settings.embedding, rng=rng),  # [z_0, z_1, z_2, e]
            Fork(first, Sequential()),
            Conditional(*norm(1, large), grow(large, small), *norm(2, small), *look,
                        grow(small, shape[-1]), Tanh()),
        )  # fmt: skip
        return G, D

    def piece(self, k):
        """Return the layer [z_0, z_1, z_2, e] -> s_k = [z_k, e]."""
        end, own = self.settings.latent, self.settings.latent // 3
        e = Columns(end, end + self.settings.embedding)
        return Concat(Columns(k * own, (k + 1) * own), e)

    def told(self, k, layer):
        """Return a layer of (x, s_k) as one of (x, [z_0, z_1, z_2, e])."""
        return Sequential(Each(Sequential(), self.piece(k)), layer)

    def step(self, batches):
        for _ in range(self.settings.D_steps):
            images, labels = batches.next()
            real, labels = xp.to_device(data.to_signed(images)), xp.to_device(labels)
            D_loss = self.discriminator_step(real, labels)
        return {"D": D_loss, "G": self.generator_step(labels)}

    def generator_step(self, labels):
        # G ascends D(G(z, y), y) - 1e-4 |W^T W (1 - I)|^2, of all its W but the embedding's
        penalties.orthogonal(Sequential(*self.G.layers[1:]), weight=self.settings.orthogonal)
        return super().generator_step(labels)

    def truncated(self, n, t, rng):
        """Return n latent vectors whose numbers are drawn again until all are within [-t, t]."""
        z = self.latent(n, rng)
        while (beyond := np.abs(z) > t).any():
            z[beyond] = rng.standard_normal(beyond.sum())
        return z

    def used_to(self, t, rng, batches=50):
        """Return a copy of the model whose batch norms have the statistics of truncated z."""
        model = copy.deepcopy(self)
        for _ in range(batches):
            labels = xp.to_device(rng.integers(self.settings.classes, size=64))
            model.G_average.net.forward((xp.to_device(self.truncated(64, t, rng)), labels))
        return model


# ---- the command `truncate` ----------------------------------------------------------------------


@dataclass
class TruncateOptions:
    n: int = option(2000, "samples that are measured, for each t", minimum=20)
    classifier: str = option("", "weights of classifier.py (default: runs/classifiers/DATA.npz)")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture, ten classes a row for each t (default: RUN/truncate.png)")


def truncate(Model, Settings, program, argv):
    """Measure samples of truncated z: the smaller t is, the better they are, and the more alike."""
    run, options = command.parse_run(program, "truncate", truncate.__doc__, TruncateOptions, argv)
    out = command.output(options, run, "truncate.png")
    model = command.load(Model, Settings, run, options)
    against = evaluate.prepare(model, options.n, options.classifier)
    rows = []
    for t in (np.inf, 2.0, 1.0, 0.5, 0.25):
        rng = np.random.default_rng(0)
        used = model.used_to(t, rng) if np.isfinite(t) else model
        images = used.images(xp.to_device(model.truncated(options.n, t, rng)))
        found = against.quick(against.sample(images))
        numbers = (found[f"{name}-LeNet"] for name in ("FID", "precision", "recall"))
        print("t = {:g}: FID-LeNet {:.3g}, precision {:.3g}, recall {:.3g}".format(t, *numbers))
        rows.append(images[:20])
    command.write(drawing.enlarge(plots.grid(np.concatenate(rows), columns=20), 2), out)


if __name__ == "__main__":
    training.main(BigGAN, Settings, commands=[training.accuracy, truncate])
