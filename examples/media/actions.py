"""What moves how, from 80 labels: clips, and the game of `semi_supervised.py` in three dimensions.

D has K logits, and always 0 for a class "fake" (Salimans et al. 2016, section 5): with Z = sum exp,
D(x) = Z / (Z + 1), and

    D descends  -E log p(y | x, not fake) - 1/2 E log D(x) - 1/2 E log(1 - D(G(z)))
    G descends  |E f(x) - E f(G(z))|^2,  f the last hidden layer of D

x is a clip of one of K = 8 motions: left, right, up, down, turn left, turn right, grow, shrink. No
single frame tells which (`data/motions.py`), so that D's convolutions go along time, too. What
counts is the error of D's average on held-out clips, beside a rule by hand and single frames.

    python examples/media/actions.py                # 10 labelled clips of each motion, 8,000 others
    python examples/media/actions.py --supervised               # the same labels, without G
    python examples/media/actions.py --supervised --labels 0    # all labels
    python examples/media/actions.py evaluate runs/actions
"""

import math
from dataclasses import dataclass

import numpy as np

from scratchgan import data, plots, training, xp
from scratchgan.data import motions
from scratchgan.data.few_labels import hide_labels
from scratchgan.examples.labels import semi_supervised
from scratchgan.initializers import glorot
from scratchgan.layers import BatchNorm, Conv3d, ConvTranspose3d, Dense, Dropout, GlobalAvgPool
from scratchgan.layers.activations import LeakyReLU, ReLU, Tanh
from scratchgan.layers.compose import Sequential
from scratchgan.layers.shape import Reshape
from scratchgan.metrics.motions import by_hand, by_single_frames
from scratchgan.training import option
from scratchgan.weights import weight_norm

K, IN_A_ROW = len(motions.NAMES), 4  # clips in a row of a picture


@dataclass
class Settings(semi_supervised.Settings):
    steps: int = option(2400, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(50, "labelled, unlabelled and generated clips in a step", minimum=2)
    data: str = option("motions", "clips that are made here", choices=("motions",))
    clips: int = option(8000, "clips to train on, few of them with a label", minimum=K)
    labels: int = option(10, "labelled clips of each motion; 0: all are", minimum=0)
    classes: int = option(K, "K, the motions", minimum=K, maximum=K)
    latent: int = option(64, "length of the latent vector z", minimum=1)
    lr_G: float = option(3e-3, "G's learning rate, which falls, too", minimum=1e-12)
    shift: int = option(0, "none: a motion is what moves", minimum=0, maximum=0)
    width: int = option(8, "channels of D's first layer; others: 2 and 4 times as many", minimum=1)


class Actions(training.Sequences, semi_supervised.SemiSupervisedGAN):
    """G: z to 2 x 3 x 3, doubled to 8 x 24 x 24; D: 3-D convolutions and a mean over all places."""

    def networks(self, shape, rng):
        w, drawn = self.settings.width, {"rng": rng}
        twice = {"kernel": 4, "stride": 2, "padding": 1}
        sides = {"kernel": (3, 4, 4), "stride": (1, 2, 2), "padding": 1}  # twice, or half, but time
        G = Sequential(
            Dense(self.settings.latent, 2 * 3 * 3 * 4 * w, **drawn), Reshape(2, 3, 3, 4 * w),
            BatchNorm(4 * w), ReLU(),
            ConvTranspose3d(4 * w, 2 * w, **twice, **drawn), BatchNorm(2 * w), ReLU(),
            ConvTranspose3d(2 * w, w, **twice, **drawn), BatchNorm(w), ReLU(),
            ConvTranspose3d(w, 1, **sides, **drawn, initialize=glorot), Tanh(),
        )  # fmt: skip
        f = Sequential(
            Dropout(0.2, rng=rng), Conv3d(1, w, **sides, **drawn), LeakyReLU(0.2),
            Conv3d(w, 2 * w, **sides, **drawn), LeakyReLU(0.2),
            Conv3d(2 * w, 4 * w, 3, stride=2, padding=1, **drawn), LeakyReLU(0.2),
            Dropout(0.5, rng=rng), GlobalAvgPool(),
        )  # fmt: skip
        D = weight_norm(Sequential(f, Dense(4 * w, K, **drawn)))
        for convolution in D.layers[0].layers[1:6:2]:
            convolution.W.g.value[...] = math.sqrt(2)  # where they stay
        return G, D

    def start_at(self, x):
        """Begin as drawn."""

    def scaled(self, clips):
        """Return clips as D sees them, from -1 to 1."""
        return xp.to_device(data.to_signed(clips))

    @staticmethod
    def load_data(settings):
        """Return all clips, and their labels with -1 for those that are not told."""
        clips = motions.load(settings.clips, seed=settings.seed)
        if not settings.labels:
            return clips.images, clips.labels
        rng = np.random.default_rng(settings.seed)
        return clips.images, hide_labels(clips.labels, settings.labels, rng)

    def held_out(self):
        return motions.load(2000, split="test", seed=self.settings.seed)

    def picture(self, z):
        """Return one picture of G's clips, the frames of each from left to right."""
        return plots.grid(self.frames(z), IN_A_ROW * motions.FRAMES)

    def walk(self, z, steps):
        return plots.grid(self.frames(z), motions.FRAMES)

    def frames(self, z):
        return self.images(z).reshape(-1, *self.shape[1:])

    def layout(self, n):
        return math.ceil(n / IN_A_ROW), IN_A_ROW

    def measured(self, n):
        clips = motions.load(n, split="test", seed=self.settings.seed)
        said = self.infer(self.D_average.net, clips.images).argmax(1)
        return {"error": float((said != clips.labels).mean())}

    def report(self):
        error = self.measured(2000)["error"]
        return {"error": error, "errors": round(2000 * error)}

    def baselines(self, n):
        """Return the errors of a rule by hand, of single frames with all labels told, of chance."""
        seed = self.settings.seed
        known = motions.load(self.settings.clips, seed=seed)
        clips = motions.load(n, split="test", seed=seed)
        of_frames = by_single_frames(known.images, known.labels, clips.images)  # (n, T)
        said = {"by hand": by_hand(clips.images)[:, None], "single frames": of_frames}
        wrong = {who: labels != clips.labels[:, None] for who, labels in said.items()}
        errors = {who: {"error": float(each.mean())} for who, each in wrong.items()}
        return errors | {"chance": {"error": 1 - 1 / K}}


if __name__ == "__main__":
    training.main(Actions, Settings)
